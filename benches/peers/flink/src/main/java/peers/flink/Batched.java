package peers.flink;

import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import peers.scoring.Batch;

/**
 * Records are gathered, and scored when there are {@link #CAPACITY}, {@link #LONGEST_WAIT_MILLIS} have passed, or a
 * checkpoint is about to begin.
 *
 * <p>{@code prepareSnapshotPreBarrier} may still emit, before the barrier: so no record waits while a checkpoint is
 * taken, and what waits need not be kept as state.
 */
final class Batched<T> extends AbstractStreamOperator<Scored>
        implements OneInputStreamOperator<T, Scored>, BoundedOneInput {
    private static final long serialVersionUID = 1;
    private static final int CAPACITY = 256;
    private static final long LONGEST_WAIT_MILLIS = 50;

    private final Scorer<T, ?> scorer;

    Batched(Scorer<T, ?> scorer) {
        this.scorer = scorer;
    }

    @Override
    public void open() throws Exception {
        super.open();
        scorer.open(getRuntimeContext(), CAPACITY);
        flushLater();
    }

    @Override
    public void processElement(StreamRecord<T> element) throws Exception {
        scorer.add(element.getValue());
        if (scorer.batch().isFull()) {
            flush();
        }
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpoint) {
        flush();
    }

    @Override
    public void endInput() {
        flush();
    }

    @Override
    public void close() throws Exception {
        scorer.close();
        super.close();
    }

    private void flushLater() {
        long now = getProcessingTimeService().getCurrentProcessingTime();
        getProcessingTimeService().registerTimer(now + LONGEST_WAIT_MILLIS, due -> {
            flush();
            flushLater();
        });
    }

    private void flush() {
        Batch batch = scorer.batch();
        if (batch.size() == 0) {
            return;
        }
        batch.score();
        for (int row = 0; row < batch.size(); row++) {
            output.collect(new StreamRecord<>(new Scored(batch, row)));
        }
        batch.clear();
    }
}
