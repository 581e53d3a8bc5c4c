package peers.flink;

import java.util.HashMap;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import peers.scoring.Form;
import peers.scoring.Model;
import peers.scoring.Readings;

/** Each reading for itself: source, scoring and sink are one chain, and messages are parsed in the scoring. */
final class Cars {
    private Cars() {}

    static DataStream<Scored> scored(Job job) {
        return job.scored(job.readings(new Messages(), WatermarkStrategy.noWatermarks()), new Scoring(job.options()));
    }

    private static final class Scoring extends Scorer<Message, Readings> {
        private static final long serialVersionUID = 1;

        Scoring(HashMap<String, String> options) {
            super(options);
        }

        @Override
        Readings batch(HashMap<String, String> options, Model model, int capacity) {
            return new Readings(model, capacity, Form.of(options, model));
        }

        @Override
        void add(Message message) {
            batch().add(message.value, message.partition, message.offset);
        }
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
