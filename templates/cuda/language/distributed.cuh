/* Blocks of a cluster: their barrier, and stores into each other's shared memory. On the shim a
   whole launch is one cluster. */

constexpr int MOST_CLUSTER = 16, PORTABLE_CLUSTER = 8;

/* Every thread of every block comes here before any goes on, and sees what was written before. */
__device__ __forceinline__ void meet_cluster()
{
#ifdef CRYSTAL_CPU_SHIM
    CRYSTAL_GRID_SYNC();
#elif __CUDA_ARCH__ >= 900
    __syncwarp();
    asm volatile("barrier.cluster.arrive.release.aligned;\n\t"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
#endif
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
/* The address of block ``to``'s place ``at``. */
__device__ __forceinline__ unsigned place_there(void *at, unsigned to)
{
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(there)
        : "r"((unsigned)__cvta_generic_to_shared(at)), "r"(to));
    return there;
}
#endif

/* ``at`` is a place in shared memory: the same place of block ``to`` gets the word. */
__device__ __forceinline__ void put_there(void *at, unsigned to, unsigned word)
{
#ifdef CRYSTAL_CPU_SHIM
    *::crystal_shim::peer((unsigned *)at, to) = word;
#elif __CUDA_ARCH__ >= 900
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(place_there(at, to)), "r"(word)
                 : "memory");
#endif
}

/* The same for sixteen bytes. */
__device__ __forceinline__ void put_there(void *at, unsigned to, uint4 words)
{
#ifdef CRYSTAL_CPU_SHIM
    *::crystal_shim::peer((uint4 *)at, to) = words;
#elif __CUDA_ARCH__ >= 900
    asm volatile("st.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(place_there(at, to)),
                 "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
#endif
}
