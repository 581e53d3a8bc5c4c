package peers.flink;

import java.util.HashMap;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import peers.scoring.Model;
import peers.scoring.Sequence;
import peers.scoring.Sequences;

/**
 * The remaining life of an engine at each of its readings, from the last rows.
 *
 * <p>Source ─▶ keyBy ─▶ scoring with the sequence of the key as its state ─▶ sink. A partition's readings stay in their
 * order: all of an asset go from one task of the source to one of the scoring.
 */
final class Engines {
    private Engines() {}

    static DataStream<Scored> scored(Job job) throws Exception {
        DataStream<EngineReading> readings = job.readings(decoding(job), WatermarkStrategy.noWatermarks());
        return job.scored(readings.keyBy(reading -> reading.asset, Types.STRING), new Scoring(job.options()));
    }

    private static Decoding<EngineReading> decoding(Job job) throws Exception {
        try (Model model = new Model(job.options().get("model"))) {
            return new Decoding<>(
                    "asset",
                    model.features(),
                    EngineReading.class,
                    (decoder, record) -> new EngineReading(
                            decoder.asset(), decoder.time(), record.partition(), record.offset(), decoder.floats()));
        }
    }

    private static final class Scoring extends Scorer<EngineReading, Sequences> {
        private static final long serialVersionUID = 1;

        private transient ValueState<Sequence> state;

        Scoring(HashMap<String, String> options) {
            super(options);
        }

        @Override
        void open(RuntimeContext context, int capacity) {
            super.open(context, capacity);
            state = context.getState(new ValueStateDescriptor<>("sequence", Sequence.class));
        }

        @Override
        Sequences batch(HashMap<String, String> options, Model model, int capacity) {
            return new Sequences(model, capacity);
        }

        /** What the heap's state backend hands out may be changed: it copies what a running checkpoint still needs. */
        @Override
        void add(EngineReading reading) throws Exception {
            Sequence sequence = state.value();
            if (sequence == null) {
                sequence = new Sequence(reading.signals, batch().length());
            } else {
                sequence.push(reading.signals);
            }
            state.update(sequence);
            batch().add(reading.asset, reading.time, reading.partition, reading.offset, sequence);
        }
    }
}
