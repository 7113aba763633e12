// Bytes in, the lowest first; words of W bits out.
module crystal_gather #(parameter W = 8) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [7:0] in_data,
    output reg  out_valid,
    input  wire out_ready,
    output wire [W-1:0] out_data
);
    localparam N = (W + 7) / 8;
    localparam WN = $clog2(N + 1);
    localparam [31:0] LAST = N - 1;
    reg [8*N-1:0] word;
    reg [WN-1:0] count;
    wire [8*N+7:0] wide = {in_data, word};
    wire load = in_valid & in_ready;
    wire unused_ends = &{1'b0, wide[7:0], word};
    assign in_ready = out_ready | ~out_valid;
    assign out_data = word[W-1:0];
    always @(posedge clk) begin
        if (load) word <= wide[8*N+7:8];
        if (rst) begin
            count <= 0;
            out_valid <= 1'b0;
        end else if (load) begin
            count <= (count == LAST[WN-1:0]) ? {WN{1'b0}} : count + 1'b1;
            out_valid <= count == LAST[WN-1:0];
        end else if (out_ready) out_valid <= 1'b0;
    end
endmodule
