package peers.flink;

import java.nio.file.Path;
import java.util.HashMap;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A Flink job in a mini-cluster, all in one JVM, of the workload {@code cars}, {@code engines} or {@code windows}.
 *
 * <p>Tuned: parallelism 2 on two cores; objects are handed on, not copied, and where they cross an exchange or are
 * state, no type falls back to Kryo. State is on the heap. The sink commits when a checkpoint is complete; they begin
 * each second.
 */
public final class Main {
    private static final long CHECKPOINT_MILLIS = 1_000;

    private Main() {}

    public static void main(String[] args) throws Exception {
        HashMap<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i].substring(2), args[i + 1]);
        }
        try {
            run(options);
        } catch (IllegalArgumentException wrong) {
            System.err.println(wrong.getMessage());
            System.exit(2);
        }
    }

    private static void run(HashMap<String, String> options) throws Exception {
        String workload = options.getOrDefault("workload", "cars");
        if (!workload.equals("cars") && "full".equals(options.get("form"))) {
            throw new IllegalArgumentException("--form full is there for --workload cars only");
        }
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(2, settings(workload, options));
        environment.enableCheckpointing(CHECKPOINT_MILLIS, CheckpointingMode.EXACTLY_ONCE);
        environment.getConfig().enableObjectReuse();
        Job job = new Job(environment, options);
        job.publish(scored(workload, job));
        environment.execute(options.get("group"));
    }

    private static DataStream<Scored> scored(String workload, Job job) throws Exception {
        return switch (workload) {
            case "cars" -> Cars.scored(job);
            case "engines" -> Engines.scored(job);
            case "windows" -> CarWindows.scored(job);
            default -> throw new IllegalArgumentException("--workload is cars, engines or windows, not " + workload);
        };
    }

    /** Checkpoints of cars are offsets only, and small enough to stay in memory, where Flink takes 5 MB of a task. */
    private static Configuration settings(String workload, HashMap<String, String> options) {
        Configuration settings = new Configuration();
        settings.set(PipelineOptions.GENERIC_TYPES, false);
        if (options.containsKey("state")) {
            settings.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
            settings.set(
                    CheckpointingOptions.CHECKPOINTS_DIRECTORY,
                    Path.of(options.get("state")).toUri().toString());
        } else if (!workload.equals("cars")) {
            throw new IllegalArgumentException("--workload " + workload + " needs a folder for checkpoints: --state");
        }
        return settings;
    }
}
