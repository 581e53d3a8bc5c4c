package peers.scoring;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.nio.FloatBuffer;

/** The workload of the engines: remaining useful life from the last rows of an asset, for each of its readings. */
public final class Sequences extends Batch {
    private final Model model;
    private final int length;
    private final FloatBuffer sequences;
    private final long[] times;
    private final int[] partitions;
    private final long[] offsets;
    private FloatBuffer lives;

    public Sequences(Model model, int capacity) {
        super(capacity);
        if (!model.contract("padding").equals("edge")) {
            throw new IllegalArgumentException("a sequence that begins is padded at the edge only");
        }
        this.model = model;
        length = Integer.parseInt(model.contract("sequence-length"));
        sequences = Model.memory(capacity * length * model.width());
        times = new long[capacity];
        partitions = new int[capacity];
        offsets = new long[capacity];
    }

    /** Rows in a sequence. */
    public int length() {
        return length;
    }

    /** A reading, and the sequence that ends with it. */
    public void add(String asset, long time, int partition, long offset, Sequence sequence) {
        int row = size();
        int older = sequence.rows.length - sequence.oldest;
        int first = row * sequence.rows.length;
        sequences.put(first, sequence.rows, sequence.oldest, older);
        sequences.put(first + older, sequence.rows, 0, sequence.oldest);
        times[row] = time;
        partitions[row] = partition;
        offsets[row] = offset;
        added(asset);
    }

    @Override
    public void score() {
        lives = model.run(sequences, model.contract("output.rul"), size(), length, model.width());
    }

    @Override
    void write(JsonGenerator json, int row) throws IOException {
        json.writeStartObject();
        json.writeStringField("asset", asset(row));
        json.writeNumberField("partition", partitions[row]);
        json.writeNumberField("offset", offsets[row]);
        json.writeNumberField("event_time", times[row]);
        json.writeNumberField("rul", lives.get(row));
        json.writeEndObject();
    }
}
