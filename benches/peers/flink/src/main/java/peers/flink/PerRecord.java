package peers.flink;

import java.util.HashMap;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import peers.scoring.Batch;
import peers.scoring.Form;
import peers.scoring.Model;

/** Each record is scored when it comes: what the API suggests. */
final class PerRecord extends RichMapFunction<Message, Scored> {
    private static final long serialVersionUID = 1;

    private final HashMap<String, String> options;
    private transient Model model;
    private transient Batch batch;

    PerRecord(HashMap<String, String> options) {
        this.options = options;
    }

    @Override
    public void open(OpenContext context) {
        model = new Model(options.get("model"));
        batch = new Batch(model, 1, Form.of(options, model));
    }

    @Override
    public Scored map(Message message) {
        batch.add(message.value, message.partition, message.offset);
        batch.score();
        Scored scored = new Scored(batch, 0);
        batch.clear();
        return scored;
    }

    @Override
    public void close() throws Exception {
        model.close();
    }
}
