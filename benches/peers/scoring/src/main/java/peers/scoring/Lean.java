package peers.scoring;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;

/** The record of all peers for a reading of a car. */
final class Lean implements Form {
    @Override
    public void write(JsonGenerator json, Readings readings, int row) throws IOException {
        json.writeStartObject();
        json.writeStringField("asset", readings.asset(row));
        json.writeNumberField("partition", readings.partition(row));
        json.writeNumberField("offset", readings.offset(row));
        json.writeNumberField("event_time", readings.time(row));
        json.writeNumberField("score", readings.residuals().score(row));
        json.writeBooleanField("anomalous", readings.residuals().anomalous(row));
        json.writeEndObject();
    }
}
