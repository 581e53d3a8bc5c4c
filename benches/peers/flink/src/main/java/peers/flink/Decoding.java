package peers.flink;

import java.io.Serializable;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import peers.scoring.Decoder;

/** Parses each message once, in the source: what crosses an exchange is numbers, and the source knows their time. */
final class Decoding<T> implements KafkaRecordDeserializationSchema<T> {
    private static final long serialVersionUID = 1;

    private final String assetField;
    private final String[] signals;
    private final Class<T> type;
    private final Reading<T> reading;
    private transient Decoder decoder;

    Decoding(String assetField, String[] signals, Class<T> type, Reading<T> reading) {
        this.assetField = assetField;
        this.signals = signals;
        this.type = type;
        this.reading = reading;
    }

    /** A reading of the message that the decoder has at hand. */
    interface Reading<T> extends Serializable {
        T of(Decoder decoder, ConsumerRecord<byte[], byte[]> record);
    }

    @Override
    public void open(DeserializationSchema.InitializationContext context) {
        decoder = new Decoder(assetField, signals);
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<T> out) {
        decoder.decode(record.value(), record.partition(), record.offset());
        out.collect(reading.of(decoder, record));
    }

    @Override
    public TypeInformation<T> getProducedType() {
        return TypeInformation.of(type);
    }
}
