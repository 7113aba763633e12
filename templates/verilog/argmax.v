// Takes N numbers, gives the index of the first largest one.
module crystal_argmax #(
    parameter N = 1, parameter W = 1, parameter S = 0, parameter WI = 1
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [W-1:0] in_data,
    output reg  out_valid,
    input  wire out_ready,
    output wire [WI-1:0] out_data
);
    localparam [31:0] LAST = N - 1;
    reg [WI-1:0] count, best_index;
    reg signed [W:0] best;
    wire signed [W:0] number = {(S != 0) & in_data[W-1], in_data};
    wire better = (count == 0) | (number > best);
    assign in_ready = ~out_valid;
    assign out_data = best_index;
    always @(posedge clk) begin
        if (in_valid & in_ready & better) begin
            best <= number;
            best_index <= count;
        end
        if (rst) begin
            count <= 0;
            out_valid <= 1'b0;
        end else if (in_valid & in_ready) begin
            count <= (count == LAST[WI-1:0]) ? {WI{1'b0}} : count + 1'b1;
            out_valid <= count == LAST[WI-1:0];
        end else if (out_ready) out_valid <= 1'b0;
    end
endmodule
