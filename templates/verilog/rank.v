// The valid bit of a rank of registers, which take new data where load is 1. A full rank waits
// until the next one takes its data.
module crystal_rank (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    output wire load,
    output reg  out_valid,
    input  wire out_ready
);
    assign in_ready = out_ready | ~out_valid;
    assign load = in_ready & in_valid;
    always @(posedge clk) begin
        if (rst) out_valid <= 1'b0;
        else if (in_ready) out_valid <= in_valid;
    end
endmodule
