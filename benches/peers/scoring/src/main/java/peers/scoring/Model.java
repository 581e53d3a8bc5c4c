package peers.scoring;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.FloatBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * The model and what its file says of itself: the order of its features and the threshold.
 *
 * <p>Score = mean of the squared residuals; anomalous above the threshold. One session for all threads of a JVM, as
 * sessions may be run by several at once; one intra-op thread, so that each caller computes on its own core.
 */
public final class Model implements AutoCloseable {
    private static final Set<String> OUTPUTS = Set.of("residual");

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final Map<String, Integer> places = new HashMap<>();
    private final String[] features;
    private final double threshold;

    public Model(String path) {
        try {
            OrtSession.SessionOptions options = new OrtSession.SessionOptions();
            options.setIntraOpNumThreads(1);
            options.setInterOpNumThreads(1);
            session = environment.createSession(path, options);
            Map<String, String> contract = session.getMetadata().getCustomMetadata();
            threshold = Double.parseDouble(contract.get("forewarn.threshold"));
            features = new ObjectMapper().readValue(contract.get("forewarn.features"), String[].class);
            for (int i = 0; i < features.length; i++) {
                places.put(features[i], i);
            }
        } catch (OrtException | JsonProcessingException failed) {
            throw new IllegalStateException("can't open " + path, failed);
        }
    }

    public int width() {
        return places.size();
    }

    /** The column of a signal; null for a field that the model does not take. */
    Integer place(String field) {
        return places.get(field);
    }

    String feature(int place) {
        return features[place];
    }

    double threshold() {
        return threshold;
    }

    boolean anomalous(double score) {
        return score > threshold;
    }

    /** The squared residuals of the first rows of a direct buffer, which ONNX Runtime reads where it lies. */
    void squares(FloatBuffer buffer, int rows, double[] squares) {
        FloatBuffer view = buffer.duplicate().position(0).limit(rows * width());
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, view, new long[] {rows, width()});
                OrtSession.Result result = session.run(Map.of("readings", tensor), OUTPUTS)) {
            FloatBuffer residuals = ((OnnxTensor) result.get(0)).getFloatBuffer();
            for (int i = 0; i < rows * width(); i++) {
                double residual = residuals.get();
                squares[i] = residual * residual;
            }
        } catch (OrtException failed) {
            throw new IllegalStateException("the model failed", failed);
        }
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }
}
