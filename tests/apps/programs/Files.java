// SPDX-License-Identifier: BSD-3-Clause
// Copyright (c) 2026 the nvmmio authors
//
// Files.java — a virtual machine's ways to files, and its own use of SIGSEGV: null pointers, deep recursion, safepoints.
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.util.Random;
import java.util.zip.CRC32;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;

public class Files {
    static final Random random = new Random(5);
    int field;

    public static void main(String[] arguments) throws Exception {
        channel();
        randomAccess();
        faults();
        threads();
        java.nio.file.Files.copy(Path.of("a"), Path.of("c"));
        System.out.println(java.nio.file.Files.mismatch(Path.of("a"), Path.of("c")));
        java.nio.file.Files.writeString(Path.of("text"), "text\n".repeat(5000));
        System.out.println(java.nio.file.Files.readAllLines(Path.of("text")).size());
    }

    static ByteBuffer bytes(ByteBuffer buffer, int length) {
        buffer.clear().limit(length);
        while (buffer.hasRemaining())
            buffer.put((byte) random.nextInt());
        return buffer.flip();
    }

    static void channel() throws Exception {
        try (FileChannel channel = FileChannel.open(Path.of("a"), CREATE, READ, WRITE)) {
            ByteBuffer direct = ByteBuffer.allocateDirect(9000);
            for (int i = 0; i < 2000; i++) {
                channel.write(bytes(direct, 1 + random.nextInt(9000)), random.nextInt(400000));
                if (i % 20 == 0)
                    channel.force(i % 40 == 0);
            }
            ByteBuffer all = ByteBuffer.allocate(400000);
            channel.read(all, 0);
            CRC32 sum = new CRC32();
            sum.update(all.array());
            System.out.println(channel.size() + " " + sum.getValue());
            channel.write(new ByteBuffer[] {ByteBuffer.wrap("gathered ".getBytes()), ByteBuffer.wrap("writes".getBytes())});
            mapped(channel);
            try (FileLock lock = channel.lock(100, 50, false)) {
                System.out.println(lock.isValid());
            }
        }
    }

    /** Stores through the mapping and writes through the channel are one file; what was cut off is an error, not the end. */
    static void mapped(FileChannel channel) throws Exception {
        MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_WRITE, 0, 200000);
        for (int i = 0; i < 1000; i++)
            map.put(random.nextInt(200000), (byte) i);
        map.force();
        channel.write(ByteBuffer.wrap("through the channel".getBytes()), 5000);
        byte[] text = new byte[19];
        map.get(5000, text);
        System.out.println(new String(text));
        channel.truncate(150000);
        channel.position(channel.size());
        channel.write(ByteBuffer.wrap("end".getBytes()));
        System.out.println(channel.size());
        try {
            map.get(199999);
            System.out.println("no error");
        } catch (InternalError e) {
            System.out.println("InternalError");
        }
    }

    static void randomAccess() throws Exception {
        for (String mode : new String[] {"rw", "rws", "rwd"})
            try (RandomAccessFile file = new RandomAccessFile("b", mode)) {
                for (int i = 0; i < 300; i++) {
                    file.seek(random.nextInt(100000));
                    file.writeUTF("text " + i);
                }
                file.getFD().sync();
                System.out.println(file.length());
            }
    }

    static int deep(int n) {
        return deep(n + 1) + 1;
    }

    static void faults() {
        int caught = 0;
        for (int i = 0; i < 100000; i++) {
            Files nothing = i % 9 == 0 ? null : new Files();
            try {
                caught += nothing.field;
            } catch (NullPointerException e) {
                caught++;
            }
        }
        System.out.println("caught " + caught);
        try {
            deep(0);
        } catch (StackOverflowError e) {
            System.out.println("stack overflow");
        }
    }

    /** Each thread writes, and runs into null pointers, while the collector stops all of them. */
    static void threads() throws Exception {
        Thread[] threads = new Thread[4];
        for (int t = 0; t < threads.length; t++) {
            int number = t;
            threads[t] = new Thread(() -> writer(number));
            threads[t].start();
        }
        for (int i = 0; i < 10; i++)
            System.gc();
        for (Thread thread : threads)
            thread.join();
    }

    static void writer(int number) {
        Files nothing = null;
        try (FileChannel channel = FileChannel.open(Path.of("t"), CREATE, WRITE)) {
            for (int i = 0; i < 500; i++) {
                channel.write(ByteBuffer.wrap((number + " " + i + "\n").getBytes()), number * 100000 + i * 10);
                if (i % 10 == 0)
                    channel.force(true);
                try {
                    nothing.field = i;
                } catch (NullPointerException e) {
                    continue;
                }
            }
        } catch (Exception e) {
            System.out.println(e);
        }
    }
}
