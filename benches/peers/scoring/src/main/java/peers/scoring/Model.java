package peers.scoring;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Map;
import java.util.Set;

/**
 * A model and what its file says of itself: the order of its features, and the rest of its contract.
 *
 * <p>One session for all threads of a JVM, as sessions may be run by several at once; one intra-op thread, so that
 * each caller computes on its own core.
 */
public final class Model implements AutoCloseable {
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final Map<String, String> contract;
    private final String input;
    private final String[] features;

    public Model(String path) {
        try {
            OrtSession.SessionOptions options = new OrtSession.SessionOptions();
            options.setIntraOpNumThreads(1);
            options.setInterOpNumThreads(1);
            session = environment.createSession(path, options);
            contract = session.getMetadata().getCustomMetadata();
            input = session.getInputNames().iterator().next();
            features = new ObjectMapper().readValue(contract("features"), String[].class);
        } catch (OrtException | JsonProcessingException failed) {
            throw new IllegalStateException("can't open " + path, failed);
        }
    }

    /** In the order of the input's columns. */
    public String[] features() {
        return features;
    }

    int width() {
        return features.length;
    }

    String contract(String name) {
        String value = contract.get("forewarn." + name);
        if (value == null) {
            throw new IllegalArgumentException("the model's file lacks forewarn." + name);
        }
        return value;
    }

    /** Memory for an input, which ONNX Runtime reads where it lies. */
    static FloatBuffer memory(int floats) {
        return ByteBuffer.allocateDirect(floats * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
    }

    /** An output for as much of the memory as the shape says. */
    FloatBuffer run(FloatBuffer memory, String output, long... shape) {
        int floats = 1;
        for (long length : shape) {
            floats *= (int) length;
        }
        FloatBuffer view = memory.duplicate().position(0).limit(floats);
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, view, shape);
                OrtSession.Result result = session.run(Map.of(input, tensor), Set.of(output))) {
            return ((OnnxTensor) result.get(0)).getFloatBuffer();
        } catch (OrtException failed) {
            throw new IllegalStateException("the model failed", failed);
        }
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }
}
