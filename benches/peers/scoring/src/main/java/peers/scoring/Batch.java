package peers.scoring;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.StreamWriteFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * What is scored together and then published row by row. A batch of one is how a service scores each record for
 * itself.
 *
 * <p>What is added lies in the tensor's memory at once, so a batch keeps no object of its caller but the asset's name.
 * Tuned: the same memory and generator for every batch. For one thread.
 */
public abstract class Batch {
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER).build();

    private final String[] assets;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
    private int size;

    Batch(int capacity) {
        assets = new String[capacity];
    }

    public final int size() {
        return size;
    }

    public final boolean isFull() {
        return size == assets.length;
    }

    /** The last thing that an {@code add} does, when all else of row {@link #size} is in its place. */
    final void added(String asset) {
        assets[size++] = asset;
    }

    /**
     * Scores all rows; then {@link #key}, {@link #value} and {@link #headers} give what to publish, until {@link
     * #clear}.
     */
    public abstract void score();

    public final byte[] key(int row) {
        return assets[row].getBytes(StandardCharsets.UTF_8);
    }

    public final byte[] value(int row) {
        bytes.reset();
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            write(json, row);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
        return bytes.toByteArray();
    }

    abstract void write(JsonGenerator json, int row) throws IOException;

    /** In their order; none by default. */
    public Map<String, byte[]> headers(int row) {
        return Map.of();
    }

    final String asset(int row) {
        return assets[row];
    }

    public final void clear() {
        size = 0;
    }
}
