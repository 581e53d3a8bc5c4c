package peers.flink;

/** A parsed reading of an engine, and where it lay. A POJO to Flink, whose serializer takes it to its key's task. */
public final class EngineReading {
    public String asset;
    public long time;
    public int partition;
    public long offset;
    public float[] signals;

    public EngineReading() {}

    EngineReading(String asset, long time, int partition, long offset, float[] signals) {
        this.asset = asset;
        this.time = time;
        this.partition = partition;
        this.offset = offset;
        this.signals = signals;
    }
}
