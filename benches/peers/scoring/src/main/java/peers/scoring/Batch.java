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
    private final FloatBuffer rows;
    private final String[] assets;
    private final long[] times;
    private final int[] partitions;
    private final long[] offsets;
    private final double[] scores;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
    private int size;

    public Batch(Model model, int capacity) {
        this.model = model;
        rows = ByteBuffer.allocateDirect(capacity * model.width() * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        assets = new String[capacity];
        times = new long[capacity];
        partitions = new int[capacity];
        offsets = new long[capacity];
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

    /** Scores all readings; then {@link #key} and {@link #value} give what to publish, until {@link #clear}. */
    public void score() {
        model.score(rows, size, scores);
    }

    public byte[] key(int row) {
        return assets[row].getBytes(StandardCharsets.UTF_8);
    }

    public byte[] value(int row) {
        bytes.reset();
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            json.writeStartObject();
            json.writeStringField("asset", assets[row]);
            json.writeNumberField("partition", partitions[row]);
            json.writeNumberField("offset", offsets[row]);
            json.writeNumberField("event_time", times[row]);
            json.writeNumberField("score", scores[row]);
            json.writeBooleanField("anomalous", model.anomalous(scores[row]));
            json.writeEndObject();
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
        return bytes.toByteArray();
    }

    public void clear() {
        size = 0;
    }
}
