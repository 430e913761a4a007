/*
 * io VERB ...: readers that time themselves, the same program for a file of the mount and for a native one.
 *
 *   seq FILE [BLOCK]        read it all; prints seconds and bytes
 *   ready FILE [BLOCK]      the same, then wait until user.isomerfs.state is ready; prints seconds to the last byte,
 *                           seconds in all, bytes
 *   first FILE              open and read 1 MiB; prints seconds
 *   random FILE COUNT       so many reads of 4 KiB at random; prints seconds
 *   map FILE                map it and touch every page; prints seconds
 *   stat FILE COUNT         stat it so often; prints seconds
 *   open FILE COUNT         open, read 4 KiB, close, so often; prints seconds
 *   each BLOCK FILE...      open, read all and close each; prints seconds
 *   crowd FILE COUNT        COUNT threads open it at one moment; each reads its share; prints seconds
 *   resident FILE           bytes of it in the page cache
 *   spin THREADS            a fixed amount of arithmetic on each thread; prints seconds
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static int open_file(const char *path) {
	int fd = open(path, O_RDONLY);
	if (fd < 0) fail(path);
	return fd;
}

static off_t size_of(int fd) {
	struct stat s;
	if (fstat(fd, &s) < 0) fail("fstat");
	return s.st_size;
}

static off_t read_range(int fd, char *buf, size_t block, off_t from, off_t to) {
	off_t at = from;
	while (at < to) {
		size_t want = (off_t)block < to - at ? block : (size_t)(to - at);
		ssize_t n = pread(fd, buf, want, at);
		if (n < 0) fail("read");
		if (n == 0) break;
		at += n;
	}
	return at - from;
}

struct share {
	const char *path;
	int part, parts;
	pthread_barrier_t *start;
};

static void *read_share(void *arg) {
	struct share *s = arg;
	char *buf = malloc(1 << 20);
	pthread_barrier_wait(s->start);
	int fd = open_file(s->path);
	off_t size = size_of(fd);
	read_range(fd, buf, 1 << 20, size / s->parts * s->part, s->part + 1 == s->parts ? size : size / s->parts * (s->part + 1));
	close(fd);
	free(buf);
	return NULL;
}

static volatile uint64_t sink;

static void *spin(void *arg) {
	uint64_t x = (uint64_t)(uintptr_t)arg + 1;
	for (long i = 0; i < 30000000; i++) x = x * 6364136223846793005u + 1442695040888963407u;
	sink = x;
	return NULL;
}

int main(int argc, char **argv) {
	if (argc < 3) {
		fprintf(stderr, "usage: io VERB FILE ...\n");
		return 2;
	}
	const char *verb = argv[1], *path = argv[2];
	long count = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
	size_t block = count > 0 ? (size_t)count : 1 << 20;
	char *buf = aligned_alloc(4096, 8 << 20);
	memset(buf, 1, 8 << 20);
	if (strcmp(verb, "spin") == 0) {
		int n = (int)strtol(path, NULL, 10);
		pthread_t t[64];
		double start = seconds();
		for (intptr_t i = 0; i < n; i++) pthread_create(&t[i], NULL, spin, (void *)i);
		for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
		printf("%.9f\n", seconds() - start);
		return 0;
	}
	if (strcmp(verb, "each") == 0) {
		block = (size_t)strtol(path, NULL, 10);
		double start = seconds();
		for (int i = 3; i < argc; i++) {
			int fd = open_file(argv[i]);
			read_range(fd, buf, block, 0, size_of(fd));
			close(fd);
		}
		printf("%.9f\n", seconds() - start);
		return 0;
	}
	double start = seconds();
	if (strcmp(verb, "seq") == 0 || strcmp(verb, "ready") == 0) {
		int fd = open_file(path);
		off_t n = read_range(fd, buf, block, 0, size_of(fd));
		close(fd);
		double read = seconds() - start;
		if (strcmp(verb, "ready") == 0) {
			char state[32] = "";
			while (seconds() - start < 300) {
				ssize_t k = getxattr(path, "user.isomerfs.state", state, sizeof state - 1);
				if (k < 0) fail("getxattr");
				state[k] = 0;
				if (strcmp(state, "ready") == 0 || strcmp(state, "memory") == 0) break;
				usleep(500);
			}
			printf("%.9f ", read);
			read = seconds() - start;
		}
		printf("%.9f %lld\n", read, (long long)n);
	} else if (strcmp(verb, "first") == 0) {
		int fd = open_file(path);
		read_range(fd, buf, 1 << 20, 0, 1 << 20);
		printf("%.9f\n", seconds() - start);
	} else if (strcmp(verb, "random") == 0) {
		int fd = open_file(path);
		uint64_t pages = (uint64_t)size_of(fd) / 4096, x = 88172645463325252u;
		for (long i = 0; i < count; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			if (pread(fd, buf, 4096, (off_t)(x % pages) * 4096) != 4096) fail("pread");
		}
		printf("%.9f\n", seconds() - start);
	} else if (strcmp(verb, "map") == 0) {
		int fd = open_file(path);
		off_t size = size_of(fd);
		volatile const char *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED) fail("mmap");
		uint64_t sum = 0;
		for (off_t i = 0; i < size; i += 4096) sum += (uint64_t)p[i];
		sink = sum;
		printf("%.9f\n", seconds() - start);
	} else if (strcmp(verb, "stat") == 0) {
		struct stat s;
		for (long i = 0; i < count; i++)
			if (stat(path, &s) < 0) fail("stat");
		printf("%.9f\n", seconds() - start);
	} else if (strcmp(verb, "open") == 0) {
		for (long i = 0; i < count; i++) {
			int fd = open_file(path);
			if (pread(fd, buf, 4096, 0) != 4096) fail("pread");
			close(fd);
		}
		printf("%.9f\n", seconds() - start);
	} else if (strcmp(verb, "crowd") == 0) {
		pthread_t *t = calloc((size_t)count, sizeof *t);
		struct share *s = calloc((size_t)count, sizeof *s);
		pthread_barrier_t barrier;
		pthread_barrier_init(&barrier, NULL, (unsigned)count);
		for (int i = 0; i < count; i++) {
			s[i] = (struct share){path, i, (int)count, &barrier};
			if (pthread_create(&t[i], NULL, read_share, &s[i]) != 0) fail("thread");
		}
		for (int i = 0; i < count; i++) pthread_join(t[i], NULL);
		printf("%.9f\n", seconds() - start);
	} else if (strcmp(verb, "resident") == 0) {
		int fd = open_file(path);
		size_t size = (size_t)size_of(fd), pages = (size + 4095) / 4096, held = 0;
		void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		unsigned char *in = malloc(pages);
		if (p == MAP_FAILED || mincore(p, size, in) < 0) fail("mincore");
		for (size_t i = 0; i < pages; i++) held += in[i] & 1;
		printf("%zu\n", held * 4096);
	} else {
		fprintf(stderr, "io: no verb %s\n", verb);
		return 2;
	}
	return 0;
}
