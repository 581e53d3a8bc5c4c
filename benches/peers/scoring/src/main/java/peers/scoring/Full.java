package peers.scoring;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/** Forewarn's record: the share of each signal in an anomalous score, and CloudEvents headers. */
final class Full implements Form {
    private static final byte[] SPEC = "1.0".getBytes(UTF_8);
    private static final byte[] TYPE = "forewarn.prediction.anomaly".getBytes(UTF_8);
    private static final byte[] CONTENT = "application/json".getBytes(UTF_8);

    private final String[] features;
    private final String topic;
    private final String name;
    private final int version;
    private final byte[] source;

    Full(Map<String, String> options, Model model) {
        features = model.features();
        topic = options.get("input");
        // REPOSITORY/NAME/VERSION/model.onnx
        Path folder = Path.of(options.get("model")).getParent();
        version = Integer.parseInt(folder.getFileName().toString());
        name = folder.getParent().getFileName().toString();
        source = ("/forewarn/" + options.get("group")).getBytes(UTF_8);
    }

    @Override
    public void write(JsonGenerator json, Readings readings, int row) throws IOException {
        Residuals residuals = readings.residuals();
        double score = residuals.score(row);
        json.writeStartObject();
        json.writeStringField("asset", readings.asset(row));
        json.writeStringField("event_time", at(readings, row));
        json.writeStringField("model", name);
        json.writeNumberField("version", version);
        json.writeStringField("task", "anomaly");
        json.writeObjectFieldStart("source");
        json.writeStringField("topic", topic);
        json.writeNumberField("partition", readings.partition(row));
        json.writeNumberField("offset", readings.offset(row));
        json.writeEndObject();
        json.writeObjectFieldStart("anomaly");
        json.writeNumberField("score", score);
        json.writeNumberField("threshold", residuals.threshold());
        json.writeNumberField("confidence", score / residuals.threshold());
        json.writeBooleanField("anomalous", residuals.anomalous(row));
        if (residuals.anomalous(row)) {
            writeContributions(json, residuals, row);
        }
        json.writeEndObject();
        json.writeEndObject();
    }

    private void writeContributions(JsonGenerator json, Residuals residuals, int row) throws IOException {
        json.writeObjectFieldStart("contributions");
        for (int i = 0; i < features.length; i++) {
            json.writeNumberField(features[i], residuals.share(row, i));
        }
        json.writeEndObject();
    }

    @Override
    public Map<String, byte[]> headers(Readings readings, int row) {
        String id = topic + "-" + readings.partition(row) + "-" + readings.offset(row) + "-" + name + "@" + version;
        Map<String, byte[]> headers = new LinkedHashMap<>();
        headers.put("ce_specversion", SPEC);
        headers.put("ce_id", id.getBytes(UTF_8));
        headers.put("ce_source", source);
        headers.put("ce_type", TYPE);
        headers.put("ce_subject", readings.key(row));
        headers.put("ce_time", at(readings, row).getBytes(UTF_8));
        headers.put("content-type", CONTENT);
        return headers;
    }

    private static String at(Readings readings, int row) {
        return Instant.ofEpochSecond(readings.time(row)).toString();
    }
}
