package peers.scoring;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.util.Map;

/** The workload of the cars: an autoencoder over the signals of each reading. */
public final class Readings extends Batch {
    private final Form form;
    private final Decoder decoder;
    private final Residuals residuals;
    private final long[] times;
    private final int[] partitions;
    private final long[] offsets;

    public Readings(Model model, int capacity, Form form) {
        super(capacity);
        this.form = form;
        decoder = new Decoder("car", model.features());
        residuals = new Residuals(model, capacity);
        times = new long[capacity];
        partitions = new int[capacity];
        offsets = new long[capacity];
    }

    public void add(byte[] json, int partition, long offset) {
        decoder.decode(json, partition, offset);
        int row = size();
        double[] signals = decoder.signals();
        for (int i = 0; i < signals.length; i++) {
            // Rounded once from the double, as Forewarn and numpy do it.
            residuals.put(row, i, (float) signals[i]);
        }
        times[row] = decoder.time();
        partitions[row] = partition;
        offsets[row] = offset;
        added(decoder.asset());
    }

    @Override
    public void score() {
        residuals.compute(size());
    }

    @Override
    void write(JsonGenerator json, int row) throws IOException {
        form.write(json, this, row);
    }

    @Override
    public Map<String, byte[]> headers(int row) {
        return form.headers(this, row);
    }

    Residuals residuals() {
        return residuals;
    }

    long time(int row) {
        return times[row];
    }

    int partition(int row) {
        return partitions[row];
    }

    long offset(int row) {
        return offsets[row];
    }
}
