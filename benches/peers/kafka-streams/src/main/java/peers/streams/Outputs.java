package peers.streams;

import org.apache.kafka.streams.processor.api.Record;
import peers.scoring.Batch;

/** One row of a batch as the record that goes on to the output topic. */
final class Outputs {
    private Outputs() {}

    static Record<byte[], byte[]> of(Batch batch, int row, long timestamp) {
        Record<byte[], byte[]> output = new Record<>(batch.key(row), batch.value(row), timestamp);
        batch.headers(row).forEach((name, value) -> output.headers().add(name, value));
        return output;
    }
}
