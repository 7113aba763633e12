/* crystal_runtime: text from a .crystal file. `crystal_runtime --help` says how. */

#include "crystal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FINE = 0, REFUSED = 2, MACHINE = 3 }; /* exit codes; 1 is left for checks that fail */
enum { MOST_TEXT = 1 << 26, MOST_TOKENS = 1 << 30 };

#if defined(CRYSTAL_EMBEDDED)
#define BEGIN "PROGRAM"
#define MODEL_GIVEN 1
#define open_model(path, model) ((void)(path), crystal_embedded(model))
#else
#define BEGIN "crystal_runtime MODEL"
#define MODEL_GIVEN 0
#define open_model crystal_open
#endif

static const char usage[] =
    BEGIN " PROMPT [TOKENS] [TEMPERATURE] [OPTIONS]\n"
    "  PROMPT               text, or - to read it from standard input\n"
    "  TOKENS               how many to write (100)\n"
    "  TEMPERATURE          0 always takes the likeliest (0.8)\n"
    "  -n TOKENS  -t TEMPERATURE\n"
    "  -k COUNT             draw from the COUNT likeliest only\n"
    "  -p SHARE             draw from the likeliest that have SHARE of the probability\n"
    "  --seed NUMBER        of the random numbers (0)\n"
    "  --layer NAME         scalar, avx2, avx512 or neon; all write the same text\n"
    "  --threads 1          there is only one\n"
    BEGIN " --bench            time of a token, without any text\n"
    BEGIN " --perplexity FILE  of a text in windows of the context\n";

typedef struct {
    const char *model, *prompt, *perplexity, *layer;
    long tokens;
    int bench;
    crystal_sampler how;
} options;

static int fail(int code, const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    return code;
}

/* ---- the command line ---- */

static int whole(const char *text, long least, long most, long *value)
{
    char *end;
    errno = 0;
    const long found = strtol(text, &end, 10);
    *value = found;
    return *text && !*end && !errno && found >= least && found <= most;
}

static int real(const char *text, double least, double most, float *value)
{
    char *end;
    const double found = strtod(text, &end);
    *value = (float)found;
    return *text && !*end && found >= least && found <= most;
}

/* The argument is ``text``, of the option ``name`` or in its place. */
static int take_value(options *o, const char *name, const char *text)
{
    long number;
    char *end;
    if (!strcmp(name, "-n"))
        return whole(text, 0, MOST_TOKENS, &o->tokens);
    if (!strcmp(name, "-t"))
        return real(text, 0.0, 1.0e6, &o->how.temperature);
    if (!strcmp(name, "-p"))
        return real(text, 0.0, 1.0, &o->how.top_p);
    if (!strcmp(name, "-k") && whole(text, 0, MOST_TOKENS, &number)) {
        o->how.top_k = (int32_t)number;
        return 1;
    }
    if (!strcmp(name, "--seed")) {
        o->how.state = strtoull(text, &end, 10);
        return *text >= '0' && *text <= '9' && !*end;
    }
    if (!strcmp(name, "--threads"))
        return whole(text, 1, 1, &number);
    if (!strcmp(name, "--layer"))
        o->layer = text;
    else if (!strcmp(name, "--perplexity"))
        o->perplexity = text;
    else
        return 0;
    return 1;
}

/* What a refused value of an option is; 0 where there is no such option. */
static const char *wanted(const char *text)
{
    static const char known[][40] = { /* no pointers: they would have to be relocated */
        "-n\0not a whole number, 0..1073741824",
        "-k\0not a whole number, 0..1073741824",
        "-t\0not a number, 0..1000000",
        "-p\0not a number, 0..1",
        "--seed\0not a whole number, 0 or more",
        "--threads\0not 1",
        "--layer",
        "--perplexity",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text, known[i]))
            return known[i] + strlen(known[i]) + 1;
    return 0;
}

static int take_place(options *o, int place, const char *text)
{
    if (place == 0)
        o->model = text;
    else if (place == 1)
        o->prompt = text;
    else
        return place < 4 && take_value(o, place == 2 ? "-n" : "-t", text);
    return 1;
}

static int parse(int count, char **words, options *o)
{
    int place = MODEL_GIVEN;
    for (int i = 1; i < count; i++) {
        const char *word = words[i];
        if (!strcmp(word, "--bench"))
            o->bench = 1;
        else if (wanted(word)) {
            if (i + 1 == count)
                return fail(REFUSED, word, "a value is missing");
            if (!take_value(o, word, words[++i]))
                return fail(REFUSED, word, wanted(word));
        } else if (word[0] == '-' && word[1] == '-')
            return fail(REFUSED, word, "no such option (see --help)");
        else if (!take_place(o, place++, word))
            return fail(REFUSED, word, "not a count of tokens or a temperature (see --help)");
    }
    if (!o->model || (!o->prompt && !o->bench && !o->perplexity))
        return fail(REFUSED, "crystal_runtime", "a model and a prompt are needed (see --help)");
    return FINE;
}

/* ---- text ---- */

/* All of a stream, ended by 0; NULL if it is too long, or the machine has no memory. */
static char *read_stream(FILE *from, size_t *length)
{
    size_t room = 1 << 16;
    char *text = malloc(room + 1);
    *length = 0;
    while (text && *length <= MOST_TEXT) {
        *length += fread(text + *length, 1, room - *length, from);
        if (*length < room) {
            text[*length] = 0;
            return text;
        }
        char *more = realloc(text, (room *= 2) + 1);
        if (!more)
            break;
        text = more;
    }
    free(text);
    return NULL;
}

/* Tokens of ``text``, or NULL. */
static int32_t *encode(const crystal *m, const char *text, size_t length, int64_t *count)
{
    int64_t dropped;
    int32_t *tokens = malloc((length + 1) * sizeof *tokens);
    *count = tokens ? crystal_encode(m, text, length, tokens, &dropped) : -1;
    if (*count < 0) {
        free(tokens);
        return NULL;
    }
    if (dropped)
        fprintf(stderr, "note: %lld bytes that the vocabulary cannot write were left out\n",
                (long long)dropped);
    return tokens;
}

static int write_token(const crystal *m, crystal_stream *stream, int32_t token)
{
    char out[1032];
    int32_t count;
    const char *bytes = crystal_token(m, token, &count);
    const size_t n = crystal_decode(stream, bytes, count, out);
    return fwrite(out, 1, n, stdout) == n && !fflush(stdout);
}

static int generate(crystal *m, const options *o, const int32_t *tokens, int64_t count)
{
    crystal_sampler how = o->how;
    crystal_stream stream = { { 0 }, 0 };
    for (int64_t i = 0; i < count; i++)
        crystal_push(m, tokens[i]);
    for (long i = 0; i < o->tokens; i++) {
        const int32_t next = crystal_sample(m, &how, crystal_logits(m));
        if (!write_token(m, &stream, next))
            return fail(MACHINE, "standard output", "cannot be written");
        crystal_push(m, next);
    }
    fwrite(stream.bytes, 1, (size_t)stream.held, stdout);
    return fputc('\n', stdout) == EOF ? fail(MACHINE, "standard output", "cannot be written") : FINE;
}

static int run_text(crystal *m, const options *o, const char *text, size_t length)
{
    int64_t count;
    int32_t *tokens = encode(m, text, length, &count);
    int code;
    if (!tokens)
        code = fail(MACHINE, "the prompt", "there is not enough memory");
    else if (!count)
        code = fail(REFUSED, "the prompt", "it has no token that the model knows");
    else {
        fwrite(text, 1, length, stdout);
        code = generate(m, o, tokens, count);
    }
    free(tokens);
    return code;
}

static int run_prompt(crystal *m, const options *o)
{
    size_t length = strlen(o->prompt);
    if (!crystal_has_tokens(m))
        return fail(REFUSED, o->model, "the file has no token table, so it cannot read text");
    if (strcmp(o->prompt, "-") != 0)
        return run_text(m, o, o->prompt, length);
    char *text = read_stream(stdin, &length);
    if (!text)
        return fail(REFUSED, "standard input", "the text is too long");
    const int code = run_text(m, o, text, length);
    free(text);
    return code;
}

/* ---- perplexity ---- */

static double power_of_e(double x)
{
    double y = 1.0;
    int halvings = 0;
    for (; x > 0.01 || x < -0.01; x /= 2)
        halvings++;
    for (int i = 12; i > 0; i--)
        y = 1.0 + y * x / i;
    for (; halvings; halvings--)
        y *= y;
    return y;
}

/* Windows of the whole context follow each other; every token but the first is predicted once. */
static int measure(crystal *m, const int32_t *tokens, int64_t count)
{
    const int64_t context = crystal_context(m);
    double sum = 0.0;
    if (count < 2)
        return fail(REFUSED, "the text", "it has fewer than two tokens");
    for (int64_t i = 0; i + 1 < count; i++) {
        if (i % context == 0)
            crystal_reset(m);
        crystal_push(m, tokens[i]);
        sum -= crystal_log_probability(m, crystal_logits(m), tokens[i + 1]);
    }
    const double loss = sum / (double)(count - 1);
    printf("%lld tokens, loss %.6f nats, perplexity %.4f\n", (long long)count - 1, loss,
           power_of_e(loss));
    return FINE;
}

static int run_perplexity(crystal *m, const options *o)
{
    size_t length;
    int64_t count;
    if (!crystal_has_tokens(m))
        return fail(REFUSED, o->model, "the file has no token table, so it cannot read text");
    FILE *from = fopen(o->perplexity, "rb");
    if (!from)
        return fail(REFUSED, o->perplexity, strerror(errno));
    char *text = read_stream(from, &length);
    fclose(from);
    if (!text)
        return fail(REFUSED, o->perplexity, "the text is too long");
    int32_t *tokens = encode(m, text, length, &count);
    free(text);
    const int code = tokens ? measure(m, tokens, count)
                            : fail(MACHINE, o->perplexity, "there is not enough memory");
    free(tokens);
    return code;
}

/* ---- time ---- */

static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Greedy text from an empty context to a full one, again and again for about a second. */
static int run_bench(crystal *m, double load)
{
    const int32_t context = crystal_context(m);
    crystal_sampler greedy = { 0 };
    double best = 1.0e9, all = 0.0;
    long rounds = 0;
    while (all < 1.0 || rounds < 5) {
        const double start = seconds();
        int32_t token = 1 % crystal_vocabulary(m);
        int32_t repeats = 0;
        for (; repeats == 0 || seconds() - start < 0.02; repeats++) {
            crystal_reset(m);
            for (int32_t i = 0; i < context; i++) {
                crystal_push(m, token);
                token = crystal_sample(m, &greedy, crystal_logits(m));
            }
        }
        const double spent = seconds() - start, each = spent / repeats / context;
        best = each < best ? each : best;
        all += spent;
        rounds++;
    }
    printf("layer %s, load %.3f ms, best %.2f us a token (%.0f a second), %ld rounds\n",
           crystal_layer(m), load * 1e3, best * 1e6, 1.0 / best, rounds);
    return FINE;
}

int main(int count, char **words)
{
    options o = { 0 };
    crystal *m = NULL;
    o.model = MODEL_GIVEN ? "the model" : NULL;
    o.tokens = 100;
    o.how.temperature = 0.8f;
    o.how.top_p = 1.0f;
    for (int i = 1; i < count; i++)
        if (!strcmp(words[i], "--help"))
            return fputs(usage, stdout) == EOF ? MACHINE : FINE;
    int code = parse(count, words, &o);
    if (code)
        return code;
    const double start = seconds();
    const int32_t verdict = open_model(o.model, &m);
    const double load = seconds() - start;
    if (verdict)
        return fail(verdict == CRYSTAL_NO_MEMORY ? MACHINE : REFUSED, o.model,
                    crystal_verdict(verdict));
    if (o.layer && !crystal_use(m, o.layer))
        code = fail(REFUSED, o.layer, "no such layer on this machine");
    else if (o.bench)
        code = run_bench(m, load);
    else
        code = o.perplexity ? run_perplexity(m, &o) : run_prompt(m, &o);
    crystal_free(m);
    return code;
}
