// What any program must wait for that serves this file with llama.cpp: load the model, make the context, decode one token.
// Usage: bare_load FILE N_CTX N_SEQ_MAX N_BATCH N_UBATCH N_THREADS
// Prints one JSON line when that is done, and after it one with the tokens at which llama.cpp ends an answer of this model.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ggml-backend.h"
#include "llama.h"

static double now_ms(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static void no_log(enum ggml_log_level level, const char * text, void * user_data) {
    (void) level;
    (void) text;
    (void) user_data;
}

int main(int argc, char ** argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: bare_load FILE N_CTX N_SEQ_MAX N_BATCH N_UBATCH N_THREADS\n");
        return 2;
    }
    const double started = now_ms();
    llama_log_set(no_log, NULL);
    ggml_backend_load_all();
    llama_backend_init();

    struct llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 1000;
    struct llama_model * model = llama_model_load_from_file(argv[1], model_params);
    if (model == NULL) {
        fprintf(stderr, "bare_load: cannot load %s\n", argv[1]);
        return 1;
    }
    const double loaded = now_ms();

    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t) atoi(argv[2]);
    params.n_seq_max = (uint32_t) atoi(argv[3]);
    params.n_batch = (uint32_t) atoi(argv[4]);
    params.n_ubatch = (uint32_t) atoi(argv[5]);
    params.n_threads = atoi(argv[6]);
    params.n_threads_batch = atoi(argv[6]);
    params.kv_unified = true;
    struct llama_context * context = llama_init_from_model(model, params);
    if (context == NULL) {
        fprintf(stderr, "bare_load: cannot make the context\n");
        return 1;
    }
    const double made = now_ms();

    const struct llama_vocab * vocab = llama_model_get_vocab(model);
    llama_token token = llama_vocab_bos(vocab);
    if (token == LLAMA_TOKEN_NULL) {
        token = 0;
    }
    if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) {
        fprintf(stderr, "bare_load: cannot decode\n");
        return 1;
    }
    llama_synchronize(context);
    printf("{\"model_ms\": %.3f, \"context_ms\": %.3f, \"decode_ms\": %.3f}\n", loaded - started, made - loaded,
           now_ms() - made);
    fflush(stdout);

    printf("{\"end_of_generation\": [");
    const char * separator = "";
    for (llama_token each = 0; each < llama_vocab_n_tokens(vocab); each++) {
        if (llama_vocab_is_eog(vocab, each)) {
            printf("%s%d", separator, each);
            separator = ", ";
        }
    }
    printf("]}\n");
    llama_free(context);
    llama_model_free(model);
    llama_backend_free();
    return 0;
}
