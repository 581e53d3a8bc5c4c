package peers.flink;

import java.util.HashMap;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * What all workloads are made of: the topics, and scoring as the command line wants it.
 *
 * <p>Tuned: up to 5,000 records a poll; lz4 and larger batches for the producer.
 */
record Job(StreamExecutionEnvironment environment, HashMap<String, String> options) {
    // Below the broker's limit of 15 minutes, and far above the time between two checkpoints.
    private static final int TRANSACTION_MILLIS = 600_000;

    <T> DataStream<T> readings(KafkaRecordDeserializationSchema<T> messages, WatermarkStrategy<T> watermarks) {
        KafkaSource<T> source = KafkaSource.<T>builder()
                .setBootstrapServers(options.get("brokers"))
                .setTopics(options.get("input"))
                .setGroupId(options.get("group"))
                .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST))
                .setDeserializer(messages)
                .setProperty("isolation.level", "read_committed")
                .setProperty("max.poll.records", "5000")
                .build();
        return environment.fromSource(source, watermarks, "readings");
    }

    <T> DataStream<Scored> scored(DataStream<T> records, Scorer<T, ?> scorer) {
        if (options.get("scoring").equals("batched")) {
            return records.transform("score", TypeInformation.of(Scored.class), new Batched<>(scorer));
        }
        return records.map(new PerRecord<>(scorer)).name("score");
    }

    void publish(DataStream<Scored> scored) {
        String topic = options.get("output");
        Properties producer = new Properties();
        producer.put("transaction.timeout.ms", TRANSACTION_MILLIS);
        producer.put("compression.type", "lz4");
        producer.put("batch.size", 128 * 1024);
        producer.put("linger.ms", 5);
        KafkaRecordSerializationSchema<Scored> records = (output, context, at) -> {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, output.key, output.value);
            output.headers.forEach((name, value) -> record.headers().add(name, value));
            return record;
        };
        scored.sinkTo(KafkaSink.<Scored>builder()
                .setBootstrapServers(options.get("brokers"))
                .setRecordSerializer(records)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(options.get("group"))
                .setKafkaProducerConfig(producer)
                .build());
    }
}
