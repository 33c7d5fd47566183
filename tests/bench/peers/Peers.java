/*
 * Peers.java - the rows of the peers in Java, run as harness.c says.
 */
import com.google.common.hash.HashFunction;
import com.google.common.hash.Hashing;
import com.google.common.util.concurrent.RateLimiter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;

@SuppressWarnings("UnstableApiUsage") // Guava's word for what it marks @Beta
final class Peers {
    static final int CHUNK = 64; // calls between two looks at the other
    static final int KEYS = 4096;
    static final int SLOTS = 64;
    static final long SPREAD = 0x9e3779b97f4a7c15L;

    /** Makes n calls; returns how many did not end as the row claims. */
    interface Run {
        int calls(Lane lane, int n);
    }

    /** What a thread has to itself. */
    static final class Lane {
        int drawn;
    }

    record Row(String name, String peer, String note, int threads, Run run) {}

    static final List<Row> rows = new ArrayList<>();
    static final Lane lane = new Lane();
    static final byte[][] keys = new byte[KEYS][];

    static void add(String name, String peer, String note, Run run) {
        rows.add(new Row(name, peer, note, 1, run));
    }

    static void addTwice(String name, String peer, String note, Run run) {
        add(name, peer, note, run);
        rows.add(new Row(name + "_2t", peer, "", 2, run));
    }

    static void addClock() {
        add("clock", "Java", "", (lane, n) -> {
            int wrong = 0;
            for (; n > 0; n--)
                wrong += System.nanoTime() == 0 ? 1 : 0;
            return wrong;
        });
    }

    static void addRateLimiter() {
        RateLimiter free = RateLimiter.create(1e9);
        addTwice("bucket_take_timed", "Guava RateLimiter",
                "tryAcquire; saves up one second's worth, no other burst",
                (lane, n) -> {
                    int wrong = 0;
                    for (; n > 0; n--)
                        wrong += free.tryAcquire() ? 0 : 1;
                    return wrong;
                });
        RateLimiter empty = RateLimiter.create(1e-5);
        empty.tryAcquire();
        add("bucket_refused_timed", "Guava RateLimiter", "", (lane, n) -> {
            int wrong = 0;
            for (; n > 0; n--)
                wrong += empty.tryAcquire() ? 1 : 0;
            return wrong;
        });
    }

    static void addSemaphore() {
        Semaphore free = new Semaphore(SLOTS);
        addTwice("bulkhead_pair", "JDK Semaphore", "tryAcquire, release",
                (lane, n) -> {
                    int wrong = 0;
                    for (; n > 0; n--) {
                        wrong += free.tryAcquire() ? 0 : 1;
                        free.release();
                    }
                    return wrong;
                });
        Semaphore full = new Semaphore(0);
        add("bulkhead_refused", "JDK Semaphore",
                "one read, which the JIT puts into the caller", (lane, n) -> {
            int wrong = 0;
            for (; n > 0; n--)
                wrong += full.tryAcquire() ? 1 : 0;
            return wrong;
        });
    }

    static void addHashing(int nodes) {
        HashFunction hash = Hashing.farmHashFingerprint64();
        add("ring_find_" + nodes, "Guava consistentHash",
                "of FarmHash: no ring but jump hash, whose nodes come and go "
                + "at the end only", (lane, n) -> {
                    int wrong = 0;
                    for (; n > 0; n--) {
                        byte[] key = keys[lane.drawn++ % KEYS];
                        int at = Hashing.consistentHash(
                                hash.hashBytes(key), nodes);
                        wrong += at < nodes ? 0 : 1;
                    }
                    return wrong;
                });
        add("jump_" + nodes, "Guava consistentHash",
                "of a 64-bit number, as ours", (lane, n) -> {
                    int wrong = 0;
                    for (; n > 0; n--) {
                        int at = Hashing.consistentHash(
                                ++lane.drawn * SPREAD, nodes);
                        wrong += at < nodes ? 0 : 1;
                    }
                    return wrong;
                });
    }

    /** The second thread: sleeps but for the slices that need two. */
    static final class Other extends Thread {
        final SynchronousQueue<Row> asked = new SynchronousQueue<>();
        final SynchronousQueue<Integer> ended = new SynchronousQueue<>();
        final Lane lane = new Lane();
        final String cpu;
        volatile boolean runs, stop;
        int calls;

        Other(String cpu) {
            this.cpu = cpu;
            setDaemon(true);
        }

        int runUntilStopped(Row row) {
            int wrong = 0;
            calls = 0;
            runs = true;
            while (!stop) {
                wrong += row.run.calls(lane, CHUNK);
                calls += CHUNK;
            }
            return wrong;
        }

        @Override
        public void run() {
            try {
                stayOn(cpu);
                for (;;)
                    ended.put(runUntilStopped(asked.take()));
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }

        void begin(Row row) throws InterruptedException {
            runs = stop = false;
            asked.put(row);
            while (!runs)
                Thread.onSpinWait();
        }

        int end() throws InterruptedException {
            stop = true;
            return ended.take();
        }
    }

    /** Java has no call for this, and its threads no other name. */
    static void stayOn(String cpu) throws Exception {
        Path self = Files.readSymbolicLink(Path.of("/proc/thread-self"));
        String thread = self.getFileName().toString();
        new ProcessBuilder("taskset", "-pc", cpu, thread).start().waitFor();
    }

    /**
     * The time is for as many calls as this thread made: both were at it all
     * the time, and what counts is their mean.
     */
    static double together(Row row, int calls, Other other) throws Exception {
        int done, wrong = 0;
        other.begin(row);
        long begin = System.nanoTime();
        for (done = 0; done < calls; done += CHUNK)
            wrong += row.run.calls(lane, CHUNK);
        double took = System.nanoTime() - begin;
        mustBeRight(row, wrong + other.end());
        return took * 2 * calls / (done + other.calls);
    }

    static double alone(Row row, int calls) {
        long begin = System.nanoTime();
        int wrong = row.run.calls(lane, calls);
        double took = System.nanoTime() - begin;
        mustBeRight(row, wrong);
        return took;
    }

    static void mustBeRight(Row row, int wrong) {
        if (wrong != 0)
            throw new IllegalStateException(row.name + " ended otherwise");
    }

    static void prepare() {
        for (int i = 0; i < KEYS; i++)
            keys[i] = String.format("client-%05d", i)
                    .getBytes(StandardCharsets.UTF_8);
        addClock();
        addRateLimiter();
        addSemaphore();
        for (int nodes : new int[] {10, 100, 1000})
            addHashing(nodes);
        for (Row row : rows)
            System.out.println(row.name + "\t" + row.peer + "\t" + row.note);
    }

    public static void main(String[] cpus) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in));
        Other other = new Other(cpus[1]);
        prepare();
        other.start();
        stayOn(cpus[0]);
        System.out.println("ready");
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ");
            Row row = rows.get(Integer.parseInt(words[0]));
            int calls = Integer.parseInt(words[1]);
            System.out.println(row.threads == 2
                    ? together(row, calls, other) : alone(row, calls));
        }
    }
}
