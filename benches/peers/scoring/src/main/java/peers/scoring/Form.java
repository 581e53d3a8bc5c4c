package peers.scoring;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.util.Map;

/** What is published of a scored reading of a car. */
public interface Form {
    void write(JsonGenerator json, Readings readings, int row) throws IOException;

    /** In their order; none by default. */
    default Map<String, byte[]> headers(Readings readings, int row) {
        return Map.of();
    }

    /** As the command line says: {@code --form lean} or {@code full}. */
    static Form of(Map<String, String> options, Model model) {
        return options.get("form").equals("full") ? new Full(options, model) : new Lean();
    }
}
