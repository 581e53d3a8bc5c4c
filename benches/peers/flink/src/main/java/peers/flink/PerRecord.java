package peers.flink;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import peers.scoring.Batch;
import peers.scoring.Model;

/** Each record is scored when it comes: what the API suggests. */
final class PerRecord extends RichMapFunction<Message, Scored> {
    private static final long serialVersionUID = 1;

    private final String path;
    private transient Model model;
    private transient Batch batch;

    PerRecord(String path) {
        this.path = path;
    }

    @Override
    public void open(OpenContext context) {
        model = new Model(path);
        batch = new Batch(model, 1);
    }

    @Override
    public Scored map(Message message) {
        batch.add(message.value, message.partition, message.offset);
        batch.score();
        Scored scored = new Scored(batch.key(0), batch.value(0));
        batch.clear();
        return scored;
    }

    @Override
    public void close() throws Exception {
        model.close();
    }
}
