package peers.flink;

/**
 * A parsed reading of a car. A POJO to Flink, whose serializer takes it to its key's task; doubles, because windows
 * sum them.
 */
public final class CarReading {
    public String asset;
    public long time;
    public double[] signals;

    public CarReading() {}

    CarReading(String asset, long time, double[] signals) {
        this.asset = asset;
        this.time = time;
        this.signals = signals;
    }
}
