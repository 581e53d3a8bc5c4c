package peers.flink;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import peers.scoring.Batch;

/** Each record is scored when it comes: what the API suggests. On a keyed stream it has the state of the key. */
final class PerRecord<T> extends RichMapFunction<T, Scored> {
    private static final long serialVersionUID = 1;

    private final Scorer<T, ?> scorer;

    PerRecord(Scorer<T, ?> scorer) {
        this.scorer = scorer;
    }

    @Override
    public void open(OpenContext context) {
        scorer.open(getRuntimeContext(), 1);
    }

    @Override
    public Scored map(T record) throws Exception {
        scorer.add(record);
        Batch batch = scorer.batch();
        batch.score();
        Scored scored = new Scored(batch, 0);
        batch.clear();
        return scored;
    }

    @Override
    public void close() throws Exception {
        scorer.close();
    }
}
