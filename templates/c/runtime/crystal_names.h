/* Other names for what the parts of the runtime share: a program with a model inside has its own
   here, so that two such programs can be linked into one. */
