package peers.flink;

import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * A Flink job in a mini-cluster, all in one JVM: source, scoring and sink in one chain, twice.
 *
 * <p>Tuned: parallelism 2 on two cores; objects are handed on, not copied; lz4 and larger batches for the producer.
 * The sink commits when a checkpoint is complete; they begin each second.
 */
public final class Main {
    private static final long CHECKPOINT_MILLIS = 1_000;
    // Below the broker's limit of 15 minutes, and far above the time between two checkpoints.
    private static final int TRANSACTION_MILLIS = 600_000;

    private Main() {}

    public static void main(String[] args) throws Exception {
        HashMap<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i].substring(2), args[i + 1]);
        }
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(2, new Configuration());
        environment.enableCheckpointing(CHECKPOINT_MILLIS, CheckpointingMode.EXACTLY_ONCE);
        environment.getConfig().enableObjectReuse();
        DataStream<Message> readings =
                environment.fromSource(source(options), WatermarkStrategy.noWatermarks(), "readings");
        scored(readings, options).sinkTo(sink(options));
        environment.execute(options.get("group"));
    }

    private static DataStream<Scored> scored(DataStream<Message> readings, HashMap<String, String> options) {
        if (options.get("scoring").equals("batched")) {
            return readings.transform("score", TypeInformation.of(Scored.class), new Batched(options));
        }
        return readings.map(new PerRecord(options));
    }

    private static KafkaSource<Message> source(Map<String, String> options) {
        return KafkaSource.<Message>builder()
                .setBootstrapServers(options.get("brokers"))
                .setTopics(options.get("input"))
                .setGroupId(options.get("group"))
                .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST))
                .setDeserializer(new Messages())
                .setProperty("isolation.level", "read_committed")
                .setProperty("max.poll.records", "5000")
                .build();
    }

    private static KafkaSink<Scored> sink(Map<String, String> options) {
        String topic = options.get("output");
        Properties producer = new Properties();
        producer.put("transaction.timeout.ms", TRANSACTION_MILLIS);
        producer.put("compression.type", "lz4");
        producer.put("batch.size", 128 * 1024);
        producer.put("linger.ms", 5);
        KafkaRecordSerializationSchema<Scored> records = (scored, context, at) -> {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, scored.key, scored.value);
            scored.headers.forEach((name, value) -> record.headers().add(name, value));
            return record;
        };
        return KafkaSink.<Scored>builder()
                .setBootstrapServers(options.get("brokers"))
                .setRecordSerializer(records)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(options.get("group"))
                .setKafkaProducerConfig(producer)
                .build();
    }

    private static final class Messages implements KafkaRecordDeserializationSchema<Message> {
        private static final long serialVersionUID = 1;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Message> out) {
            out.collect(new Message(record.partition(), record.offset(), record.value()));
        }

        @Override
        public TypeInformation<Message> getProducedType() {
            return TypeInformation.of(Message.class);
        }
    }
}
