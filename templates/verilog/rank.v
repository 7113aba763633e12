// Pipeline registers with a valid bit. A full rank waits until the next one takes its data.
module crystal_rank #(parameter W = 1) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [W-1:0] in_data,
    output reg  out_valid,
    input  wire out_ready,
    output reg  [W-1:0] out_data
);
    assign in_ready = out_ready | ~out_valid;
    always @(posedge clk) begin
        if (rst) out_valid <= 1'b0;
        else if (in_ready) out_valid <= in_valid;
        if (in_ready & in_valid) out_data <= in_data;
    end
endmodule
