/* A clock that is wrong: preloaded, it moves the time of day of a process by CLOCK_AHEAD seconds.
 *
 * With CLOCK_STAMPS=1, files that are touched or renamed get the moved time, as on network file systems
 * on which the writer's clock, and not the server's, is a file's time. Durations stay right.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    const char *text = getenv("CLOCK_AHEAD");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}

/* Until a time of day: the kernel waits by its own clock. */

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *end) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!wait) *(void **)&wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec real = {end->tv_sec - ahead(), end->tv_nsec};
    return wait(condition, mutex, &real);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *end) {
    static int (*wait)(sem_t *, const struct timespec *);
    if (!wait) *(void **)&wait = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec real = {end->tv_sec - ahead(), end->tv_nsec};
    return wait(semaphore, &real);
}

/* Times of files. */

static int stamps(void) { return getenv("CLOCK_STAMPS") != NULL; }

static int set(int folder, const char *path, const struct timespec times[2], int flags) {
    struct timespec moved[2];
    if (stamps()) {
        for (int i = 0; i < 2; i++) {
            if (times && times[i].tv_nsec != UTIME_NOW) moved[i] = times[i];
            else clock_gettime(CLOCK_REALTIME, &moved[i]);
        }
        times = moved;
    }
    return syscall(SYS_utimensat, folder, path, times, flags);
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    return set(folder, path, times, flags);
}

int futimens(int file, const struct timespec times[2]) { return set(file, NULL, times, 0); }

int rename(const char *old, const char *new) {
    struct stat status;
    if (stamps() && !lstat(old, &status) && S_ISREG(status.st_mode)) set(AT_FDCWD, old, NULL, 0);
    return syscall(SYS_rename, old, new);
}
