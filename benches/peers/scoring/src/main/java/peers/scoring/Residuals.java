package peers.scoring;

import java.nio.FloatBuffer;

/** Rows for an autoencoder. Score = mean of the squared residuals; anomalous above the threshold of the contract. */
final class Residuals {
    private final Model model;
    private final double threshold;
    private final FloatBuffer rows;
    private final double[] squares;
    private final double[] scores;

    Residuals(Model model, int capacity) {
        this.model = model;
        threshold = Double.parseDouble(model.contract("threshold"));
        rows = Model.memory(capacity * model.width());
        squares = new double[capacity * model.width()];
        scores = new double[capacity];
    }

    void put(int row, int column, float feature) {
        rows.put(row * model.width() + column, feature);
    }

    void compute(int size) {
        int width = model.width();
        FloatBuffer residuals = model.run(rows, "residual", size, width);
        for (int row = 0; row < size; row++) {
            double total = 0;
            for (int i = row * width; i < (row + 1) * width; i++) {
                double residual = residuals.get(i);
                squares[i] = residual * residual;
                total += squares[i];
            }
            scores[row] = total / width;
        }
    }

    double threshold() {
        return threshold;
    }

    double score(int row) {
        return scores[row];
    }

    boolean anomalous(int row) {
        return scores[row] > threshold;
    }

    /** The part of a feature in the score; all parts are 1 together, or 0 where nothing is left to share. */
    float share(int row, int column) {
        double total = scores[row] * model.width();
        return total > 0 ? (float) (squares[row * model.width() + column] / total) : 0;
    }
}
