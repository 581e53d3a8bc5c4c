package peers.streams;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import peers.scoring.Form;
import peers.scoring.Model;
import peers.scoring.Readings;

/** Each record is scored when it comes: what the API suggests. */
final class PerRecord implements Processor<byte[], byte[], byte[], byte[]> {
    private final Readings batch;
    private ProcessorContext<byte[], byte[]> context;

    PerRecord(Model model, Form form) {
        batch = new Readings(model, 1, form);
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
        context.forward(Outputs.of(batch, 0, record.timestamp()));
        batch.clear();
    }
}
