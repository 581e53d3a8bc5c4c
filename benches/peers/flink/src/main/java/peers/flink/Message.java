package peers.flink;

/**
 * What is needed of one Kafka record of a car. A POJO to Flink, which never copies it here: all operators are in one
 * chain.
 */
public final class Message {
    public int partition;
    public long offset;
    public byte[] value;

    public Message() {}

    Message(int partition, long offset, byte[] value) {
        this.partition = partition;
        this.offset = offset;
        this.value = value;
    }
}
