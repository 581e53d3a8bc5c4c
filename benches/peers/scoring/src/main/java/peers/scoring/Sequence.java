package peers.scoring;

/**
 * The last rows of one asset, in a ring. It begins with as many copies of the first row as there is room for, which is
 * what padding at the edge asks for, so it is always full.
 *
 * <p>Fields and the empty constructor are public for the frameworks' serializers.
 */
public final class Sequence {
    public float[] rows;
    public int oldest;

    public Sequence() {}

    public Sequence(float[] first, int length) {
        rows = new float[length * first.length];
        for (int row = 0; row < length; row++) {
            System.arraycopy(first, 0, rows, row * first.length, first.length);
        }
    }

    public void push(float[] row) {
        System.arraycopy(row, 0, rows, oldest, row.length);
        oldest += row.length;
        if (oldest == rows.length) {
            oldest = 0;
        }
    }
}
