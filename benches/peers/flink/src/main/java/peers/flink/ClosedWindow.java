package peers.flink;

import peers.scoring.Aggregate;

/** A window of one car that the watermark has passed; start and end in seconds. A POJO to Flink, never copied. */
public final class ClosedWindow {
    public String asset;
    public long start;
    public long end;
    public Aggregate aggregate;

    public ClosedWindow() {}

    ClosedWindow(String asset, long start, long end, Aggregate aggregate) {
        this.asset = asset;
        this.start = start;
        this.end = end;
        this.aggregate = aggregate;
    }
}
