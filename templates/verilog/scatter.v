// Words of W bits in; bytes out, the lowest first, the last one filled up with zeros.
module crystal_scatter #(parameter W = 8) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [W-1:0] in_data,
    output wire out_valid,
    input  wire out_ready,
    output wire [7:0] out_data
);
    localparam N = (W + 7) / 8;
    localparam WN = $clog2(N + 1);
    localparam [31:0] ALL = N;
    localparam [31:0] ONE = 1;
    reg [8*N-1:0] word;
    reg [WN-1:0] left;
    wire [8*N:0] wide = {{(8*N+1-W){1'b0}}, in_data};
    wire unused_top = &{1'b0, wide[8*N]};
    wire give = out_valid & out_ready;
    wire load = in_valid & in_ready;
    assign out_valid = |left;
    assign out_data = word[7:0];
    assign in_ready = ~out_valid | (out_ready & (left == ONE[WN-1:0]));
    always @(posedge clk) begin
        if (load) word <= wide[8*N-1:0];
        else if (give) word <= word >> 8;
        if (rst) left <= 0;
        else if (load) left <= ALL[WN-1:0];
        else if (give) left <= left - 1'b1;
    end
endmodule
