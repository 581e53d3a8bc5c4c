package peers.streams;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import peers.scoring.Form;
import peers.scoring.Model;
import peers.scoring.Readings;

/**
 * Records are gathered, and scored when there are {@link #CAPACITY} or {@link #LONGEST_WAIT} has passed.
 *
 * <p>Kafka Streams commits the offset of a record once {@code process} has returned, and tells no processor that it
 * is about to. So a record that waits must be in a state store, whose changelog is part of the same transaction: a
 * successor takes what waits from there, and nothing is lost or doubled. The store is in memory and has Kafka Streams'
 * record cache before it, so what comes and goes between two commits is never written; at a commit each slot that was
 * used is, as the record that waits there or as a tombstone.
 */
final class Batched implements Processor<byte[], byte[], byte[], byte[]> {
    private static final int CAPACITY = 256;
    private static final Duration LONGEST_WAIT = Duration.ofMillis(50);
    private static final String STORE = "waiting";

    private final Readings batch;
    private final long[] timestamps = new long[CAPACITY];
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Integer, byte[]> waiting;

    private Batched(Model model, Form form) {
        batch = new Readings(model, CAPACITY, form);
    }

    static ProcessorSupplier<byte[], byte[], byte[], byte[]> supplier(Model model, Form form) {
        return new ProcessorSupplier<>() {
            @Override
            public Processor<byte[], byte[], byte[], byte[]> get() {
                return new Batched(model, form);
            }

            @Override
            public Set<StoreBuilder<?>> stores() {
                return Set.of(Stores.keyValueStoreBuilder(
                                Stores.inMemoryKeyValueStore(STORE), Serdes.Integer(), Serdes.ByteArray())
                        .withCachingEnabled());
            }
        };
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        waiting = context.getStateStore(STORE);
        // Slots count up, and integers are ordered as their bytes are.
        try (KeyValueIterator<Integer, byte[]> slots = waiting.all()) {
            while (slots.hasNext()) {
                restore(slots.next());
            }
        }
        context.schedule(LONGEST_WAIT, PunctuationType.WALL_CLOCK_TIME, now -> flush());
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        RecordMetadata source = context.recordMetadata().orElseThrow();
        int slot = batch.size();
        timestamps[slot] = record.timestamp();
        batch.add(record.value(), source.partition(), source.offset());
        if (batch.isFull()) {
            flush();
        } else {
            waiting.put(slot, entry(source.offset(), record));
        }
    }

    private void flush() {
        int rows = batch.size();
        if (rows == 0) {
            return;
        }
        batch.score();
        for (int row = 0; row < rows; row++) {
            context.forward(Outputs.of(batch, row, timestamps[row]));
            // The record that filled the batch never waited; a tombstone too many does no harm.
            waiting.delete(row);
        }
        batch.clear();
    }

    /** Offset, timestamp, message. */
    private static byte[] entry(long offset, Record<byte[], byte[]> record) {
        return ByteBuffer.allocate(2 * Long.BYTES + record.value().length)
                .putLong(offset)
                .putLong(record.timestamp())
                .put(record.value())
                .array();
    }

    private void restore(KeyValue<Integer, byte[]> slot) {
        ByteBuffer entry = ByteBuffer.wrap(slot.value);
        long offset = entry.getLong();
        timestamps[batch.size()] = entry.getLong();
        byte[] message = new byte[entry.remaining()];
        entry.get(message);
        batch.add(message, context.taskId().partition(), offset);
    }
}
