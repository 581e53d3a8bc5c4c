package peers.scoring;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;

/** The record of all peers. */
final class Lean implements Form {
    private final Model model;

    Lean(Model model) {
        this.model = model;
    }

    @Override
    public void write(JsonGenerator json, Batch batch, int row) throws IOException {
        json.writeStartObject();
        json.writeStringField("asset", batch.asset(row));
        json.writeNumberField("partition", batch.partition(row));
        json.writeNumberField("offset", batch.offset(row));
        json.writeNumberField("event_time", batch.time(row));
        json.writeNumberField("score", batch.score(row));
        json.writeBooleanField("anomalous", model.anomalous(batch.score(row)));
        json.writeEndObject();
    }
}
