package peers.flink;

/** One output: key and value as they are published. */
public final class Scored {
    public byte[] key;
    public byte[] value;

    public Scored() {}

    Scored(byte[] key, byte[] value) {
        this.key = key;
        this.value = value;
    }
}
