package peers.scoring;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Readings that are scored together: decoded on the way in, encoded on the way out. A batch of one is how a service
 * scores each record for itself.
 *
 * <p>Tuned: Jackson's streaming parser straight into the tensor's memory, with no tree and no object for each reading;
 * the same memory and generator for every batch. For one thread.
 */
public final class Batch {
    private static final JsonFactory JSON = new JsonFactory();

    private final Model model;
    private final Form form;
    private final FloatBuffer rows;
    private final String[] assets;
    private final long[] times;
    private final int[] partitions;
    private final long[] offsets;
    private final double[] squares;
    private final double[] scores;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
    private int size;

    public Batch(Model model, int capacity, Form form) {
        this.model = model;
        this.form = form;
        rows = ByteBuffer.allocateDirect(capacity * model.width() * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        assets = new String[capacity];
        times = new long[capacity];
        partitions = new int[capacity];
        offsets = new long[capacity];
        squares = new double[capacity * model.width()];
        scores = new double[capacity];
    }

    public int size() {
        return size;
    }

    public boolean isFull() {
        return size == assets.length;
    }

    /** A message without one of the model's signals is an error here; a whole service would put it aside. */
    public void add(byte[] json, int partition, long offset) {
        int first = size * model.width();
        int found = 0;
        try (JsonParser parser = JSON.createParser(json)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                Integer place = model.place(field);
                if (place != null) {
                    // Rounded once from the double, as Forewarn and numpy do it.
                    rows.put(first + place, (float) parser.getDoubleValue());
                    found++;
                } else if (field.equals("car")) {
                    assets[size] = parser.getText();
                } else if (field.equals("time")) {
                    times[size] = parser.getLongValue();
                }
            }
        } catch (IOException failed) {
            throw new UncheckedIOException("partition " + partition + " offset " + offset, failed);
        }
        if (found != model.width()) {
            throw new IllegalArgumentException("partition " + partition + " offset " + offset + " lacks signals");
        }
        partitions[size] = partition;
        offsets[size] = offset;
        size++;
    }

    /**
     * Scores all readings; then {@link #key}, {@link #value} and {@link #headers} give what to publish, until {@link
     * #clear}.
     */
    public void score() {
        int width = model.width();
        model.squares(rows, size, squares);
        for (int row = 0; row < size; row++) {
            double total = 0;
            for (int i = row * width; i < (row + 1) * width; i++) {
                total += squares[i];
            }
            scores[row] = total / width;
        }
    }

    public byte[] key(int row) {
        return assets[row].getBytes(StandardCharsets.UTF_8);
    }

    public byte[] value(int row) {
        bytes.reset();
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            form.write(json, this, row);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
        return bytes.toByteArray();
    }

    public Map<String, byte[]> headers(int row) {
        return form.headers(this, row);
    }

    String asset(int row) {
        return assets[row];
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

    double score(int row) {
        return scores[row];
    }

    /** The part of a signal in the score; all parts are 1 together, or 0 where nothing is left to share. */
    float share(int row, int signal) {
        double total = scores[row] * model.width();
        return total > 0 ? (float) (squares[row * model.width() + signal] / total) : 0;
    }

    public void clear() {
        size = 0;
    }
}
