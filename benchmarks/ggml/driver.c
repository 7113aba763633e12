/* Products of a token's matrices in ggml: one graph, one thread, planned once and run warm. */

#define _POSIX_C_SOURCE 200809L

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 64 };

typedef struct {
    int count;
    struct ggml_context *metas, *lives; /* of the weights; of inputs, outputs and the graph */
    struct ggml_tensor *weights[MOST], *inputs[MOST], *outputs[MOST];
    struct ggml_cgraph *graph;
    struct ggml_cplan plan;
    ggml_backend_buffer_t buffers[MOST];
} chain;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first kind of memory, repacking ones before the plain one, in which ggml multiplies ``w``. */
static ggml_backend_buffer_type_t best_buffer(struct ggml_tensor *w, struct ggml_tensor *product)
{
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_dev_get_extra_bufts_t more = (ggml_backend_dev_get_extra_bufts_t)
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu),
                                          "ggml_backend_dev_get_extra_bufts");
    for (ggml_backend_buffer_type_t *kind = more ? more(cpu) : NULL; kind && *kind; kind++) {
        w->buffer = ggml_backend_buft_alloc_buffer(*kind, 0);
        const int fits = ggml_backend_dev_supports_op(cpu, product);
        ggml_backend_buffer_free(w->buffer);
        w->buffer = NULL;
        if (fits)
            return *kind;
    }
    return ggml_backend_cpu_buffer_type();
}

/* ``from`` [rows, cols] floats, quantised into the memory that suits ``product``. */
static void fill(chain *c, int i, const float *from, struct ggml_tensor *product)
{
    struct ggml_tensor *w = c->weights[i];
    ggml_backend_buffer_type_t kind = best_buffer(w, product);
    const size_t size = ggml_backend_buft_get_alloc_size(kind, w);
    c->buffers[i] = ggml_backend_buft_alloc_buffer(kind, size);
    ggml_backend_tensor_alloc(c->buffers[i], w, ggml_backend_buffer_get_base(c->buffers[i]));
    void *room = malloc(ggml_nbytes(w));
    ggml_quantize_chunk(w->type, from, room, 0, w->ne[1], w->ne[0], NULL);
    ggml_backend_tensor_set(w, room, 0, ggml_nbytes(w));
    free(room);
}

static void unheard(enum ggml_log_level level, const char *text, void *data)
{
    (void)level, (void)text, (void)data;
}

/* ``types``: of ggml, one a matrix; ``from``: pointers to floats [rows, cols]. */
void *ggml_driver_new(int count, const int32_t *types, const int32_t *rows, const int32_t *cols,
                      const float *const *from)
{
    chain *c = calloc(1, sizeof *c);
    ggml_log_set(unheard, NULL);
    size_t room = ggml_graph_overhead() + 4 * MOST * ggml_tensor_overhead() + (1 << 20);
    for (int i = 0; i < count; i++)
        room += 4 * (size_t)(rows[i] + cols[i]);
    c->metas = ggml_init((struct ggml_init_params){ MOST * ggml_tensor_overhead(), NULL, true });
    c->lives = ggml_init((struct ggml_init_params){ room, NULL, false });
    c->graph = ggml_new_graph(c->lives);
    c->count = count;
    for (int i = 0; i < count; i++) {
        c->weights[i] = ggml_new_tensor_2d(c->metas, types[i], cols[i], rows[i]);
        c->inputs[i] = ggml_new_tensor_1d(c->lives, GGML_TYPE_F32, cols[i]);
        c->outputs[i] = ggml_mul_mat(c->lives, c->weights[i], c->inputs[i]);
        fill(c, i, from[i], c->outputs[i]);
        ggml_build_forward_expand(c->graph, c->outputs[i]);
    }
    c->plan = ggml_graph_plan(c->graph, 1, NULL);
    c->plan.work_data = malloc(c->plan.work_size);
    return c;
}

/* Name of the memory that holds a matrix: tells whether its rows were repacked. */
const char *ggml_driver_buffer(const chain *c, int i)
{
    return ggml_backend_buffer_name(c->buffers[i]);
}

/* outputs of all matrices, one after another, for inputs laid out likewise. */
void ggml_driver_run(chain *c, const float *x, float *y)
{
    for (int i = 0; i < c->count; x += c->inputs[i++]->ne[0])
        memcpy(c->inputs[i]->data, x, ggml_nbytes(c->inputs[i]));
    ggml_graph_compute(c->graph, &c->plan);
    for (int i = 0; i < c->count; y += c->outputs[i++]->ne[0])
        memcpy(y, c->outputs[i]->data, ggml_nbytes(c->outputs[i]));
}

/* Seconds of one pass through the graph. */
double ggml_driver_seconds(chain *c, int32_t rounds)
{
    const double start = seconds();
    for (int32_t i = 0; i < rounds; i++)
        ggml_graph_compute(c->graph, &c->plan);
    return (seconds() - start) / rounds;
}

const char *ggml_driver_version(void) { return ggml_version(); }

/* What this build of ggml uses of the processor. */
const char *ggml_driver_features(void)
{
    static char said[200];
    snprintf(said, sizeof said, "avx2 %d, fma %d, f16c %d, avx512 %d, vnni %d, bf16 %d, neon %d",
             ggml_cpu_has_avx2(), ggml_cpu_has_fma(), ggml_cpu_has_f16c(), ggml_cpu_has_avx512(),
             ggml_cpu_has_avx512_vnni(), ggml_cpu_has_avx512_bf16(), ggml_cpu_has_neon());
    return said;
}
