package peers.flink;

import java.util.HashMap;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import peers.scoring.Batch;
import peers.scoring.Form;
import peers.scoring.Model;

/**
 * Records are gathered, and scored when there are {@link #CAPACITY}, {@link #LONGEST_WAIT_MILLIS} have passed, or a
 * checkpoint is about to begin.
 *
 * <p>{@code prepareSnapshotPreBarrier} may still emit, before the barrier: so no record waits while a checkpoint is
 * taken, and there is nothing to keep as state.
 */
final class Batched extends AbstractStreamOperator<Scored>
        implements OneInputStreamOperator<Message, Scored>, BoundedOneInput {
    private static final long serialVersionUID = 1;
    private static final int CAPACITY = 256;
    private static final long LONGEST_WAIT_MILLIS = 50;

    private final HashMap<String, String> options;
    private transient Model model;
    private transient Batch batch;

    Batched(HashMap<String, String> options) {
        this.options = options;
    }

    @Override
    public void open() throws Exception {
        super.open();
        model = new Model(options.get("model"));
        batch = new Batch(model, CAPACITY, Form.of(options, model));
        flushLater();
    }

    @Override
    public void processElement(StreamRecord<Message> element) {
        Message message = element.getValue();
        batch.add(message.value, message.partition, message.offset);
        if (batch.isFull()) {
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
        model.close();
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
