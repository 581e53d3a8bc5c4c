package peers.scoring;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/** The workload of the windows: an autoencoder over the aggregates of the signals in a window of event time. */
public final class Windows extends Batch {
    private final Feature[] features;
    private final Residuals residuals;
    private final long[] starts;
    private final long[] ends;

    public Windows(Model model, int capacity) {
        super(capacity);
        List<String> signals = Arrays.asList(signals(model));
        features = Arrays.stream(model.features())
                .map(name -> new Feature(signals.indexOf(signal(name)), kind(name)))
                .toArray(Feature[]::new);
        residuals = new Residuals(model, capacity);
        starts = new long[capacity];
        ends = new long[capacity];
    }

    /** The signals that the features are made of, in the order of an {@link Aggregate}. */
    public static String[] signals(Model model) {
        return Arrays.stream(model.features()).map(Windows::signal).distinct().toArray(String[]::new);
    }

    /** Start and end in seconds. */
    public void add(String asset, long start, long end, Aggregate aggregate) {
        int row = size();
        for (int column = 0; column < features.length; column++) {
            residuals.put(row, column, features[column].of(aggregate));
        }
        starts[row] = start;
        ends[row] = end;
        added(asset);
    }

    @Override
    public void score() {
        residuals.compute(size());
    }

    @Override
    void write(JsonGenerator json, int row) throws IOException {
        json.writeStartObject();
        json.writeStringField("asset", asset(row));
        json.writeNumberField("start", starts[row]);
        json.writeNumberField("end", ends[row]);
        json.writeNumberField("score", residuals.score(row));
        json.writeBooleanField("anomalous", residuals.anomalous(row));
        json.writeEndObject();
    }

    /** A feature is named SIGNAL_KIND, and a signal's name may have underscores itself. */
    private static String signal(String feature) {
        return feature.substring(0, feature.lastIndexOf('_'));
    }

    private static Kind kind(String feature) {
        return Kind.valueOf(feature.substring(feature.lastIndexOf('_') + 1).toUpperCase());
    }

    private enum Kind {
        MEAN,
        MIN,
        MAX
    }

    private record Feature(int signal, Kind kind) {
        float of(Aggregate aggregate) {
            return switch (kind) {
                case MEAN -> aggregate.mean(signal);
                case MIN -> aggregate.minima[signal];
                case MAX -> aggregate.maxima[signal];
            };
        }
    }
}
