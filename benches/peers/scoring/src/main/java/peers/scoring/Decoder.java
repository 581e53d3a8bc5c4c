package peers.scoring;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;

/**
 * One message at a time: its asset, its time and the signals that are asked for, in their order.
 *
 * <p>Tuned: Jackson's streaming parser with its fast parser of doubles, which rounds as the JDK's does; no tree, and
 * the same memory for every message. For one thread.
 */
public final class Decoder {
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).build();

    private final String assetField;
    private final Map<String, Integer> places = new HashMap<>();
    private final double[] signals;
    private String asset;
    private long time;

    public Decoder(String assetField, String[] signals) {
        this.assetField = assetField;
        this.signals = new double[signals.length];
        for (int i = 0; i < signals.length; i++) {
            places.put(signals[i], i);
        }
    }

    /** A message without one of the signals is an error here; a whole service would put it aside. */
    public void decode(byte[] json, int partition, long offset) {
        int found = 0;
        try (JsonParser parser = JSON.createParser(json)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                Integer place = places.get(field);
                if (place != null) {
                    signals[place] = parser.getDoubleValue();
                    found++;
                } else if (field.equals(assetField)) {
                    asset = parser.getText();
                } else if (field.equals("time")) {
                    time = parser.getLongValue();
                }
            }
        } catch (IOException failed) {
            throw new UncheckedIOException("partition " + partition + " offset " + offset, failed);
        }
        if (found != signals.length) {
            throw new IllegalArgumentException("partition " + partition + " offset " + offset + " lacks signals");
        }
    }

    public String asset() {
        return asset;
    }

    /** In the message's own unit. */
    public long time() {
        return time;
    }

    /** Overwritten by the next message. */
    public double[] signals() {
        return signals;
    }

    /** Each rounded once from the double, as Forewarn and numpy do it. */
    public float[] floats() {
        float[] floats = new float[signals.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) signals[i];
        }
        return floats;
    }
}
