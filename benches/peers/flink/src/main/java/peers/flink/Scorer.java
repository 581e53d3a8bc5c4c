package peers.flink;

import java.io.Serializable;
import java.util.HashMap;
import org.apache.flink.api.common.functions.RuntimeContext;
import peers.scoring.Batch;
import peers.scoring.Model;

/** What a workload does with a record until it lies in a batch, be it of one or of many. */
abstract class Scorer<T, B extends Batch> implements Serializable {
    private static final long serialVersionUID = 1;

    private final HashMap<String, String> options;
    private transient Model model;
    private transient B batch;

    Scorer(HashMap<String, String> options) {
        this.options = options;
    }

    /** In the task that scores, which may have keyed state. */
    void open(RuntimeContext context, int capacity) {
        model = new Model(options.get("model"));
        batch = batch(options, model, capacity);
    }

    abstract B batch(HashMap<String, String> options, Model model, int capacity);

    abstract void add(T record) throws Exception;

    final B batch() {
        return batch;
    }

    final void close() throws Exception {
        model.close();
    }
}
