package peers.flink;

import java.time.Duration;
import java.util.HashMap;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import peers.scoring.Aggregate;
import peers.scoring.Model;
import peers.scoring.Windows;

/**
 * Tumbling windows of event time of each car, scored when the watermark has passed their end.
 *
 * <p>Source ─▶ keyBy ─▶ windows, scoring and sink in one chain. A window is kept as its aggregate, into which each
 * reading goes when it comes.
 */
final class CarWindows {
    private static final Duration SIZE = Duration.ofSeconds(10);
    private static final Duration OUT_OF_ORDERNESS = Duration.ofSeconds(2);
    // Until a silent partition, or a task without one, no longer holds the watermark back: far above any stall, because
    // what a partition has after it was held for silent may be late.
    private static final Duration IDLE = Duration.ofSeconds(30);

    private CarWindows() {}

    static DataStream<Scored> scored(Job job) throws Exception {
        String[] signals;
        try (Model model = new Model(job.options().get("model"))) {
            signals = Windows.signals(model);
        }
        DataStream<ClosedWindow> windows = job.readings(decoding(signals), watermarks())
                .keyBy(reading -> reading.asset, Types.STRING)
                .window(TumblingEventTimeWindows.of(SIZE))
                .aggregate(new Aggregation(signals.length), new Closing());
        return job.scored(windows, new Scoring(job.options()));
    }

    private static Decoding<CarReading> decoding(String[] signals) {
        return new Decoding<>(
                "car",
                signals,
                CarReading.class,
                (decoder, record) ->
                        new CarReading(decoder.asset(), decoder.time(), decoder.signals().clone()));
    }

    /** The source keeps one for each partition, and takes the least of them. */
    private static WatermarkStrategy<CarReading> watermarks() {
        return WatermarkStrategy.<CarReading>forBoundedOutOfOrderness(OUT_OF_ORDERNESS)
                .withTimestampAssigner((reading, timestamp) -> reading.time * 1_000)
                .withIdleness(IDLE);
    }

    private static final class Aggregation implements AggregateFunction<CarReading, Aggregate, Aggregate> {
        private static final long serialVersionUID = 1;

        private final int signals;

        Aggregation(int signals) {
            this.signals = signals;
        }

        @Override
        public Aggregate createAccumulator() {
            return new Aggregate(signals);
        }

        @Override
        public Aggregate add(CarReading reading, Aggregate aggregate) {
            aggregate.add(reading.signals);
            return aggregate;
        }

        @Override
        public Aggregate getResult(Aggregate aggregate) {
            return aggregate;
        }

        @Override
        public Aggregate merge(Aggregate one, Aggregate other) {
            throw new UnsupportedOperationException("tumbling windows are never merged");
        }
    }

    private static final class Closing extends ProcessWindowFunction<Aggregate, ClosedWindow, String, TimeWindow> {
        private static final long serialVersionUID = 1;

        @Override
        public void process(
                String asset, Context context, Iterable<Aggregate> aggregates, Collector<ClosedWindow> out) {
            TimeWindow window = context.window();
            Aggregate only = aggregates.iterator().next();
            out.collect(new ClosedWindow(asset, window.getStart() / 1_000, window.getEnd() / 1_000, only));
        }
    }

    private static final class Scoring extends Scorer<ClosedWindow, Windows> {
        private static final long serialVersionUID = 1;

        Scoring(HashMap<String, String> options) {
            super(options);
        }

        @Override
        Windows batch(HashMap<String, String> options, Model model, int capacity) {
            return new Windows(model, capacity);
        }

        @Override
        void add(ClosedWindow window) {
            batch().add(window.asset, window.start, window.end, window.aggregate);
        }
    }
}
