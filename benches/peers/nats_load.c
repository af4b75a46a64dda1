/* Load for a JetStream stream: the load mode of ../load.c, in NATS's own protocol.
 *
 * N connections keep W publishes in flight each, every one with a reply subject of its own; the server's answer
 * to it ({"stream":...,"seq":N}) is the acknowledgement that the message is in the stream. One epoll loop, one
 * thread. Takes the options of load.c that a trial uses and prints the same names.
 *
 *   INFO {...}                                   server, on connect
 *   CONNECT {...} / SUB _INBOX.<c>.* 1           client, once
 *   PUB <topic> _INBOX.<c>.<id> <n> / payload    client
 *   MSG _INBOX.<c>.<id> 1 <n> / payload          server
 *   PING / PONG
 *
 * Build: cc -O2 -o nats_load nats_load.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define MAX_WINDOW 4096
#define IN_SIZE 262144
#define DRAIN_NS 8000000000LL
#define LATENCIES 4000000

struct connection {
    int fd, in_length, in_flight, number;
    size_t out_length, out_done, out_capacity;
    char *out;
    char in[IN_SIZE];
    uint32_t next;
    uint64_t sequence, noise;
    long long sent_at[MAX_WINDOW];
};

static struct connection *connections[MAX_CONNECTIONS];
static const char *prefix = "bench";
static int port = 4222, count = 100, window = 20, epoll_fd;
static double seconds = 5, warmup = 1, rate;
static long long total, sent, acked, measured, refused;
static bool measuring;
static volatile sig_atomic_t stopping;
static uint32_t *latencies_us;

static void die(const char *what)
{
    fprintf(stderr, "nats_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static void watch(struct connection *c, uint32_t events, int operation)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &e))
        die("epoll_ctl");
}

static char *room(struct connection *c, size_t more)
{
    if (c->out_length + more > c->out_capacity) {
        c->out_capacity = (c->out_length + more) * 2;
        c->out = realloc(c->out, c->out_capacity);
        if (!c->out)
            die("memory");
    }
    return c->out + c->out_length;
}

static void flush_out(struct connection *c)
{
    while (c->out_done < c->out_length) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_length - c->out_done, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n < 0)
            die("send");
        c->out_done += (size_t)n;
    }
    c->out_done = c->out_length = 0;
}

static void publish(struct connection *c, long long at_ns, uint64_t wall)
{
    char payload[128];
    c->noise = c->noise * 6364136223846793005ULL + 1442695040888963407ULL;
    uint64_t value = (c->sequence & 1 ? 4000 : 2000) + (c->noise >> 40) * 200 / (1 << 24);
    int length = snprintf(payload, sizeof payload, "{\"t\":%llu,\"s\":%llu,\"v\":%llu.%02llu}",
                          (unsigned long long)wall, (unsigned long long)c->sequence++,
                          (unsigned long long)(value / 100), (unsigned long long)(value % 100));
    char *p = room(c, 320);
    c->out_length += (size_t)sprintf(p, "PUB %s.c%d _INBOX.%d.%u %d\r\n%s\r\n", prefix, c->number, c->number,
                                     c->next, length, payload);
    c->sent_at[c->next++ % MAX_WINDOW] = at_ns;
    c->in_flight++;
    sent++;
}

static void answered(struct connection *c, uint32_t id, const char *body, int length, long long at_ns)
{
    c->in_flight--;
    if (length > 9 && memmem(body, (size_t)length, "\"error\"", 7)) {
        refused++;
        return;
    }
    acked++;
    if (measuring) {
        if (measured < LATENCIES)
            latencies_us[measured] = (uint32_t)((at_ns - c->sent_at[id % MAX_WINDOW]) / 1000);
        measured++;
    }
}

/* One line, or one MSG with its payload, from the front of what has come; its length, or 0. */
static int take(struct connection *c, char *at, int length, long long at_ns)
{
    char *end = memmem(at, (size_t)length, "\r\n", 2);
    if (!end)
        return 0;
    int line = (int)(end - at) + 2;
    if (!strncmp(at, "MSG ", 4)) {
        unsigned number, id, size;
        if (sscanf(at, "MSG _INBOX.%u.%u %*s %u", &number, &id, &size) != 3)
            die("a MSG that nobody asked for");
        if (length < line + (int)size + 2)
            return 0;
        answered(c, id, at + line, (int)size, at_ns);
        return line + (int)size + 2;
    }
    if (!strncmp(at, "PING", 4)) {
        memcpy(room(c, 8), "PONG\r\n", 6);
        c->out_length += 6;
        flush_out(c);
    } else if (!strncmp(at, "-ERR", 4)) {
        fprintf(stderr, "nats_load: %.*s\n", line - 2, at);
        exit(1);
    }
    return line;
}

static void readable(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_length, (size_t)(IN_SIZE - 1 - c->in_length), 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0)
        die("the server has closed");
    long long at_ns = now_ns(CLOCK_MONOTONIC);
    c->in_length += (int)n;
    c->in[c->in_length] = 0;
    int done = 0;
    for (int step; (step = take(c, c->in + done, c->in_length - done, at_ns)); done += step) {}
    memmove(c->in, c->in + done, (size_t)(c->in_length - done));
    c->in_length -= done;
}

static void pump(int timeout_ms)
{
    struct epoll_event events[256];
    int ready = epoll_wait(epoll_fd, events, 256, timeout_ms);
    for (int i = 0; i < ready; i++) {
        struct connection *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) {
            watch(c, EPOLLIN, EPOLL_CTL_MOD);
            flush_out(c);
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            readable(c);
    }
}

static struct connection *opened(int number)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("memory");
    c->number = number;
    c->noise = (uint64_t)number * 2654435761ULL + 12345;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
    c->out_length += (size_t)sprintf(room(c, 256),
                                     "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\","
                                     "\"protocol\":1}\r\nSUB _INBOX.%d.* 1\r\n",
                                     number);
    flush_out(c);
    return c;
}

static void fill(struct connection *c, int upto)
{
    if (c->in_flight >= upto)
        return;
    long long at_ns = now_ns(CLOCK_MONOTONIC);
    uint64_t wall = (uint64_t)now_ns(CLOCK_REALTIME);
    while (c->in_flight < upto && (!total || sent < total))
        publish(c, at_ns, wall++);
    flush_out(c);
}

static void pace(double elapsed_s)
{
    static int next;
    while (sent < (long long)(elapsed_s * rate)) {
        struct connection *c = connections[next++ % count];
        if (c->in_flight >= window)
            return;
        fill(c, c->in_flight + 1);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double share_us(double share)
{
    long long n = measured < LATENCIES ? measured : LATENCIES;
    return n ? latencies_us[(long long)((double)(n - 1) * share)] : 0;
}

static int in_flight(void)
{
    int sum = 0;
    for (int i = 0; i < count; i++)
        sum += connections[i]->in_flight;
    return sum;
}

int main(int argc, char **argv)
{
    for (int i = 2; i + 1 < argc; i += 2) { /* argv[1] is the mode, of which there is one */
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--connections")) count = atoi(value);
        else if (!strcmp(name, "--window")) window = atoi(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--warmup")) warmup = atof(value);
        else if (!strcmp(name, "--rate")) rate = atof(value);
        else if (!strcmp(name, "--total")) total = atoll(value);
        else if (!strcmp(name, "--prefix")) prefix = value;
        else if (strcmp(name, "--value")) { /* values jump */
            fprintf(stderr, "nats_load: %s?\n", name);
            return 2;
        }
    }
    if (count < 1 || count > MAX_CONNECTIONS || window < 1 || window > MAX_WINDOW)
        return 2;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    latencies_us = malloc(LATENCIES * sizeof *latencies_us);
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0 || !latencies_us)
        die("start");
    for (int i = 0; i < count; i++)
        connections[i] = opened(i);
    long long began = now_ns(CLOCK_MONOTONIC), from = began + (long long)(warmup * 1e9), ended;
    long long until = from + (long long)(seconds * 1e9);
    for (;;) {
        ended = now_ns(CLOCK_MONOTONIC);
        if (!measuring && ended >= from) {
            measuring = true;
            from = ended;
        }
        if (ended >= until || stopping || (total && acked + refused >= total))
            break;
        if (rate > 0)
            pace((double)(ended - began) / 1e9);
        else
            for (int i = 0; i < count; i++)
                fill(connections[i], window);
        pump(rate > 0 ? 1 : 100);
    }
    measuring = false;
    while (in_flight() > 0 && now_ns(CLOCK_MONOTONIC) < ended + DRAIN_NS)
        pump(50);
    double took = (double)(ended - from) / 1e9;
    qsort(latencies_us, (size_t)(measured < LATENCIES ? measured : LATENCIES), sizeof *latencies_us, by_size);
    printf("{\"acks\":%lld,\"seconds\":%.6f,\"acks_per_s\":%.1f,\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f},"
           "\"failed\":%lld,\"total_sent\":%lld,\"total_acked\":%lld}\n",
           measured, took, took > 0 ? (double)measured / took : 0, share_us(0.5), share_us(0.99), refused, sent,
           acked);
    return 0;
}
