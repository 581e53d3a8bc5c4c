package peers.streams;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import peers.scoring.Batch;
import peers.scoring.Model;

/** Each record is scored when it comes: what the API suggests. */
final class PerRecord implements Processor<byte[], byte[], byte[], byte[]> {
    private final Batch batch;
    private ProcessorContext<byte[], byte[]> context;

    PerRecord(Model model) {
        batch = new Batch(model, 1);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        RecordMetadata source = context.recordMetadata().orElseThrow();
        batch.add(record.value(), source.partition(), source.offset());
        batch.score();
        context.forward(new Record<>(batch.key(0), batch.value(0), record.timestamp()));
        batch.clear();
    }
}
