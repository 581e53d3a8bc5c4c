package peers.scoring;

import java.util.Arrays;

/**
 * Sum, minimum and maximum of each signal in a window.
 *
 * <p>Sums are of the doubles in the messages; a minimum or maximum is the same float whether it is rounded before or
 * after the comparisons, and half as long. Fields and the empty constructor are public for the frameworks' serializers.
 */
public final class Aggregate {
    public int count;
    public double[] sums;
    public float[] minima;
    public float[] maxima;

    public Aggregate() {}

    public Aggregate(int signals) {
        sums = new double[signals];
        minima = new float[signals];
        maxima = new float[signals];
        Arrays.fill(minima, Float.POSITIVE_INFINITY);
        Arrays.fill(maxima, Float.NEGATIVE_INFINITY);
    }

    public void add(double[] signals) {
        count++;
        for (int i = 0; i < signals.length; i++) {
            float signal = (float) signals[i];
            sums[i] += signals[i];
            minima[i] = Math.min(minima[i], signal);
            maxima[i] = Math.max(maxima[i], signal);
        }
    }

    float mean(int signal) {
        return (float) (sums[signal] / count);
    }
}
