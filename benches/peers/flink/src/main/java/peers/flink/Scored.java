package peers.flink;

import java.util.Map;
import peers.scoring.Batch;

/** One output as it is published. */
public final class Scored {
    public byte[] key;
    public byte[] value;
    public Map<String, byte[]> headers;

    public Scored() {}

    Scored(Batch batch, int row) {
        key = batch.key(row);
        value = batch.value(row);
        headers = batch.headers(row);
    }
}
